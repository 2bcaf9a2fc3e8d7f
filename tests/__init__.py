"""The tests of patchbay and actors. A package, as some that others install call themselves so too."""
