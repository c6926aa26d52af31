#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Other people's mDNS for registry.bats and mdns.bats: what go-micro never sends,
and what mbus sends, byte by byte.

  answer    answers queries for a service, as told by the options
  announce  sends one announcement (--ttl 0: a goodbye)
  raw HEX   answers every query with these bytes; as announcement if --multicast
  listen    prints what arrives at port 5353: "ms source hex" a line

Says "ready" on stdout first."""
import argparse
import json
import socket
import struct
import sys
import time
import zlib

GROUP = ("224.0.0.251", 5353)


def name(*parts):
    labels = [l for p in parts for l in p.encode("utf-8", "surrogateescape").split(b".")]
    return b"".join(bytes([len(l)]) + l for l in labels) + b"\0"


def record(owner, kind, ttl, data):
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def txt(a):
    if a.txt is not None:
        text = a.txt
    else:
        meta = dict(m.split("=", 1) for m in a.meta)
        text = json.dumps({"Service": a.txt_service or a.service, "Version": a.version,
                           "Endpoints": None, "Metadata": meta})
    digits = zlib.compress(text.encode()).hex().encode()
    return b"".join(bytes([len(c)]) + c
                    for c in (digits[i:i + 255] for i in range(0, len(digits), 255)))


def records(a, node_id):
    owner = name(node_id, a.service, a.domain)
    v6 = ":" in a.addr
    addr = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, a.addr)
    return (record(owner, 33, a.ttl, struct.pack("!HHH", 10, 1, a.port) + name("fake")) +
            record(name("fake"), 28 if v6 else 1, a.ttl, addr) +
            record(owner, 16, a.ttl, txt(a)))


def answer(a, query, node_id):
    asked = name(a.service, a.domain)
    head = struct.pack("!HHHHHH", 0, 0x8400, 0 if a.no_echo else 1, 4, 0, 0)
    ptr = record(asked, 12, a.ttl, name(node_id, a.service, a.domain))
    return head + (b"" if a.no_echo else query[12:]) + ptr + records(a, node_id)


def open_port():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", 5353))
    for index, _ in socket.if_nameindex():
        try:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                         struct.pack("4s4si", socket.inet_aton(GROUP[0]), b"\0" * 4, index))
        except OSError:
            pass
    return s


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["answer", "announce", "raw", "listen"])
    p.add_argument("hex", nargs="?")
    p.add_argument("--service", default="greeter")
    p.add_argument("--domain", default="micro")
    p.add_argument("--id", action="append")
    p.add_argument("--version", default="1.0")
    p.add_argument("--addr", default="127.0.0.1")
    p.add_argument("--port", type=int, default=9000)
    p.add_argument("--ttl", type=int, default=120)
    p.add_argument("--meta", action="append", default=[])
    p.add_argument("--txt", help="this JSON text")
    p.add_argument("--txt-service", help="another name in the TXT record")
    p.add_argument("--no-echo", action="store_true", help="as v1 answers")
    p.add_argument("--lose", type=int, default=0, help="as many queries are not heard")
    p.add_argument("--delay", type=float, default=0, help="ms before each answer")
    p.add_argument("--times", type=int, default=1, help="answer so often")
    p.add_argument("--multicast", action="store_true")
    a = p.parse_args()
    ids = a.id or [a.service + "-1"]
    asked = name(a.service, a.domain)

    if a.what == "announce" or a.multicast:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for node_id in ids:
            packet = (bytes.fromhex(a.hex) if a.hex else
                      struct.pack("!HHHHHH", 0, 0x8000, 0, 3, 0, 0) + records(a, node_id))
            s.sendto(packet, GROUP)
        return
    s = open_port()
    start = time.monotonic()
    print("ready", flush=True)
    while True:
        packet, source = s.recvfrom(65536)
        if a.what == "listen":
            print(int((time.monotonic() - start) * 1000), "%s:%d" % source, packet.hex(),
                  flush=True)
            continue
        if len(packet) < 12 or packet[2] & 0x80:
            continue
        if a.what == "raw":
            s.sendto(bytes.fromhex(a.hex), source)
        elif packet[12:12 + len(asked)] == asked:
            if a.lose:
                a.lose -= 1
                continue
            time.sleep(a.delay / 1000)
            for node_id in ids * a.times:
                s.sendto(answer(a, packet, node_id), source)


try:
    main()
except KeyboardInterrupt:
    sys.exit(0)
