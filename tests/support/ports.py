"""Ports of loopback for servers that are started again."""
import random
import socket

LOWEST = 10000


def free_ports(number):
    """Free now, and below those that the kernel gives to clients where it leaves some: a client that
    connects to anybody while the server is down would else take its port."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        end = int(file.read().split()[0])
    dice, listeners = random.SystemRandom(), []
    while len(listeners) < number:
        port = dice.randrange(LOWEST, end) if end > 2 * LOWEST else 0
        try:
            listeners.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            pass  # somebody has it
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
