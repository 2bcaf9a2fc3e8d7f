"""What routers do to packets: a pure model of nftables, its text and its messages."""
