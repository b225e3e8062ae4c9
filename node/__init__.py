"""The shell: disk, sockets, clock and processes around the pure rooms, wired in one place (service)."""
