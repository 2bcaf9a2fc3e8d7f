"""Five parts of the world: how far they are apart, and what a cut cable does.

python examples/world.py
"""

from patchbay import Lab


def main() -> None:
    with Lab("world") as lab:
        regions = lab.add_world()  # us, eu, asia, oceania, south-america
        with lab.batch():
            hosts = {
                name: lab.add_device(f"in-{name}", lab.add_router(f"dc-{name}", region=region))
                for name, region in regions.items()
            }
        eu, asia = hosts["eu"], hosts["asia"]

        def show(when: str) -> None:
            result = eu.ping(asia, count=3, timeout=2.0)
            told = f"{min(result.rtts_ms):.0f} ms" if result else "nothing comes back"
            print(f"{when:25} {told}")

        show("from eu to asia")
        lab.break_region_link("eu", "asia")
        show("the cable is cut")
        lab.restore_region_link("eu", "asia")
        lab.break_region_link("eu", "asia", reroute=True)
        show("cut, and gone around")
        lab.restore_region_link("eu", "asia")
        with lab.partition(["eu", "us"], ["asia", "oceania"]):
            show("a partition")
        show("mended")


if __name__ == "__main__":
    main()
