#!/usr/bin/python3
"""Holds follower.py against docs/format/vectors.txt: /usr/bin/python3 test_follower.py"""
import ast, os, unittest

import follower
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs", "format", "vectors.txt")


def vectors():
    with open(VECTORS) as f:
        for line in f:
            name, separator, value = line.rstrip("\n").partition(" = ")
            if separator and not line.startswith("#"):
                yield name, ast.literal_eval(value) if value.startswith('"') else bytes.fromhex(value)


class Vectors(unittest.TestCase):
    def setUp(self):
        self.v = dict(vectors())
        self.key = Ed25519PrivateKey.from_private_bytes(self.v["member.seed"])
        self.seal = X25519PrivateKey.from_private_bytes(self.v["member.seal_private"])
        self.invite = follower.Invite(self.v["member.invite"])

    def test_keys(self):
        self.assertEqual(follower.raw(self.key.public_key()), self.v["member.public_key"])
        self.assertEqual(follower.raw(self.seal.public_key()), self.v["member.seal_public"])
        self.assertEqual(self.invite.zone, self.v["group_id"])
        self.assertEqual(self.invite.master, self.v["public_key"])

    def test_ticket(self):
        signer, payload = follower.verify(self.v["member.ticket"], b"bellwether/ticket/1\0")
        self.assertEqual(signer, self.invite.master)
        self.assertEqual(follower.decode(payload)[3], self.v["member.public_key"])
        with self.assertRaises(ValueError):
            follower.verify(self.v["member.ticket"], b"bellwether/hello/1\0")

    def test_hello(self):
        nonce = follower.base64url(self.v["member.challenge"].split('"')[1])
        hello = follower.hello(self.key, self.invite, "lamp", nonce, bytes(range(0xC0, 0xE0)), self.invite.code, self.v["member.ticket"])
        self.assertEqual(hello.decode(), self.v["member.hello"])

    def transaction(self, name, n, kind, body):
        sent = 1_700_000_000_000_000_000 + (3 + n) * 10**9
        data = follower.transaction(self.key, self.invite.zone, "lamp", n, kind, body, sent)
        self.assertEqual(data, self.v[name])
        self.assertEqual(follower.h_id(follower.decode(data).value[2]), self.v[name + ".h_id"])
        self.assertEqual(follower.encode([sent + 500_000_000, data]), self.v[name + ".on_ledger"])

    def test_transactions(self):
        self.transaction("member.associated", 1, 8, {1: self.v["member.ticket"], 2: self.v["member.seal_public"]})
        payload = self.v["member.message.payload"]
        self.assertEqual(follower.payload_hash(payload), self.v["member.message.hash"])
        self.transaction("member.message", 2, 9, follower.message({"send": "master", "text": "hello"}, payload))
        self.transaction("member.request", 3, 9, follower.message({"request": "master", "text": "time?"}, self.v["member.request.payload"]))

    def test_reply(self):
        _, payload = follower.verify(self.v["member.reply"], b"bellwether/member-tx/1\0")
        order = {"reply": "lamp", "ref": self.v["member.request.h_id"].hex(), "text": "noon"}
        self.assertEqual(follower.decode(payload)[6], follower.message(order, self.v["member.reply.payload"]))

    def test_frames(self):
        types = {}
        for name, value in self.v.items():
            if name.startswith("member.frame_"):
                types[follower.decode(value)[0]] = name  # which encodes again, and compares
        self.assertEqual(sorted(types), [1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18])
        submit = follower.encode([16, self.v["member.message"], self.v["member.message.payload"]])
        self.assertEqual(submit, self.v["member.frame_submit"])

    def test_sealed(self):
        aad = follower.envelope(self.invite.zone, "switch", "lamp", 3)
        payload = self.v["member.sealed"]
        self.assertEqual(follower.unseal(self.seal, aad, payload).decode(), self.v["member.sealed.content"])
        again = follower.seal(self.v["member.seal_public"], aad, b"on")
        self.assertEqual(len(again), len(payload))
        self.assertEqual(follower.unseal(self.seal, aad, again), b"on")
        with self.assertRaises(InvalidTag):
            follower.unseal(self.seal, follower.envelope(self.invite.zone, "switch", "lamp", 4), payload)


if __name__ == "__main__":
    unittest.main()
