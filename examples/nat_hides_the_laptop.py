"""A home router hides the laptop: the world sees the router, and cannot begin to talk.

python examples/nat_hides_the_laptop.py
"""

from patchbay import Lab


def main() -> None:
    with Lab("nat") as lab:
        dc = lab.add_router("dc", preset="public")
        home = lab.add_router("home", preset="home")
        server = lab.add_device("server", dc)
        laptop = lab.add_device("laptop", home)

        with server.reflector("udp") as reflector:  # answers with the address that it sees
            seen = reflector.observe(laptop, source_port=5000)
        print(f"the laptop is  {laptop.ip} port 5000")
        print(f"the server saw {seen.ip} port {seen.port}")

        for entry in home.nat_table():
            (inside, port), (outside, outside_port) = entry.inside, entry.outside
            print(f"the router has {inside}:{port} as {outside}:{outside_port} ({entry.protocol})")

        print("the laptop reaches the server:", bool(laptop.ping(server)))
        print("the server reaches the laptop:", bool(server.ping(laptop, timeout=0.2)))


if __name__ == "__main__":
    main()
