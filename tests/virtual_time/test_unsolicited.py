"""What a firewall says after seconds of silence, with the seconds of its RFC."""


def test_an_unsolicited_syn_is_answered_after_six_seconds(guest):
    """RFC 6092 REC-34; the kernel tells of the SYN within a tenth of a second."""
    told = guest.python("""
        import socket, time
        from patchbay import Lab

        def knock(host):
            began = time.monotonic()
            with socket.socket(socket.AF_INET6) as client:
                try:
                    client.connect((host, 80))
                except PermissionError as error:
                    return error.strerror, time.monotonic() - began

        with Lab() as lab:
            outside = lab.add_device("outside", lab.add_router("dc"))
            home = lab.add_router("home", preset="home")
            laptop = lab.add_device("laptop", home)
            print(*outside.call(knock, str(laptop.ip6)), sep=",")
    """)

    why, seconds = told.split(",")
    assert why == "Permission denied"
    assert 6 <= float(seconds) < 6.2
