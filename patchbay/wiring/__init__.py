"""The kernel side: carries out the steps of a plan by netlink, and reads what the kernel has."""
