"""Peers: Noise transport, framed channels, address book, scoring, gossip and block sync."""
