#!/usr/bin/python3
"""A member of a Bellwether zone in Python, by docs/format/member.md alone.

    apt install python3-cbor2 python3-cryptography python3-openssl python3-wsproto
    /usr/bin/python3 follower.py identity DIR NAME          # for the operator to admit
    /usr/bin/python3 follower.py run DIR NAME 'bellwether://...'    # or -: the first line of stdin, which no other user sees

It takes orders as lines of JSON on stdin, and prints what comes of them and what others say on stdout:

    {"send": "hub", "text": "it rains"}                     "seal": true encrypts it to the hub
    {"request": "hub", "text": "time?"}                     {"reply": "hub", "ref": H-ID, "text": "noon"}
    {"create": "hub", "object": "door", "text": "open"}     also read, update, delete; whose data it is

A reply is to a request that was printed, once: any other is refused as "unasked".

When stdin ends, it waits for its receipts and ends; with --stay it goes on until it is killed. Killed at any moment, it goes
on where it was: an order is said once, in the order of the lines; a message may be printed again, under the same position.
"""
import base64, hashlib, json, os, random, select, socket, sys, time, urllib.parse

import cbor2
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL
from wsproto import ConnectionType, WSConnection, events

OPS = {"send": 1, "request": 2, "reply": 3, "create": 4, "read": 5, "update": 6, "delete": 7}
NOTHING = bytes(32)
SILENCE = 30  # seconds


# CBOR: core deterministic encoding, and nothing else is taken.

def encode(value):
    return cbor2.dumps(value, canonical=True)


def decode(data):
    value = cbor2.loads(data)
    if encode(value) != data:
        raise ValueError("not in canonical form")
    return value


# COSE_Sign1

def sign(key, external, payload):
    protected = encode({1: -8, 4: raw(key.public_key())})
    signature = key.sign(encode(["Signature1", protected, external, payload]))
    return encode(cbor2.CBORTag(18, [protected, {}, payload, signature]))


def verify(data, external):
    """Gives the signer's key and the payload."""
    tagged = decode(data)
    if tagged.tag != 18:
        raise ValueError("not a COSE_Sign1")
    protected, unprotected, payload, signature = tagged.value
    header = decode(protected)
    if set(header) != {1, 4} or header[1] != -8 or len(header[4]) != 32 or unprotected != {}:
        raise ValueError("not a header of this protocol")
    try:
        Ed25519PublicKey.from_public_bytes(header[4]).verify(signature, encode(["Signature1", protected, external, payload]))
    except InvalidSignature:
        raise ValueError("the signature does not hold")
    return header[4], payload


def raw(public_key):
    return public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


# HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305: one message a context.

KEM = b"KEM" + bytes([0, 0x20])
SUITE = b"HPKE" + bytes([0, 0x20, 0, 1, 0, 3])


def extract(salt, suite, label, material):
    h = hmac.HMAC(salt or NOTHING, hashes.SHA256())
    h.update(b"HPKE-v1" + suite + label + material)
    return h.finalize()


def expand(key, suite, label, info, length):
    return HKDFExpand(hashes.SHA256(), length, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info).derive(key)


def hpke(shared, enc, recipient, info):
    """Gives cipher and nonce for the first message."""
    secret = expand(extract(b"", KEM, b"eae_prk", shared), KEM, b"shared_secret", enc + recipient, 32)
    context = b"\0" + extract(b"", SUITE, b"psk_id_hash", b"") + extract(b"", SUITE, b"info_hash", info)
    key = extract(secret, SUITE, b"secret", b"")
    return ChaCha20Poly1305(expand(key, SUITE, b"key", context, 32)), expand(key, SUITE, b"base_nonce", context, 12)


def envelope(group, sender, recipient, n):
    return group + sender.encode() + b"\0" + recipient.encode() + b"\0" + n.to_bytes(8, "big")


def seal(recipient, aad, content, ephemeral=None, salt=None):
    ephemeral = ephemeral or X25519PrivateKey.generate()
    enc = raw(ephemeral.public_key())
    cipher, nonce = hpke(ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient)), enc, recipient, b"bellwether/seal/1\0")
    return (salt or os.urandom(16)) + enc + cipher.encrypt(nonce, content, aad)


def unseal(key, aad, payload):
    enc = payload[16:48]
    cipher, nonce = hpke(key.exchange(X25519PublicKey.from_public_bytes(enc)), enc, raw(key.public_key()), b"bellwether/seal/1\0")
    return cipher.decrypt(nonce, payload[48:], aad)


# Transactions

def payload_hash(payload):
    return hashlib.sha256(b"bellwether/payload/1\0" + payload).digest()


def transaction(key, group, name, n, kind, body, sent=None):
    return sign(key, b"bellwether/member-tx/1\0", encode({1: group, 2: kind, 3: time.time_ns() if sent is None else sent, 4: name, 5: n, 6: body}))


def h_id(payload):
    return hashlib.sha256(b"bellwether/tx-id/1\0" + payload).digest()


def message(order, payload):
    """The body of a message."""
    op = next(word for word in OPS if word in order)
    carries = op not in ("read", "delete")
    return {1: order[op], 2: OPS[op], 3: order.get("object", ""), 4: bytes.fromhex(order.get("ref", "")) or NOTHING,
            5: payload_hash(payload) if carries else NOTHING, 6: len(payload) if carries else 0, 7: bool(order.get("seal"))}


def base64url(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def hello(key, invite, name, nonce, binding, code, ticket):
    """Gives the value of the header Authorization."""
    payload = encode({1: invite.zone, 2: name, 3: invite.master, 4: nonce, 5: binding, 6: code, 7: ticket})
    return b"Bellwether " + base64.urlsafe_b64encode(sign(key, b"bellwether/hello/1\0", payload)).rstrip(b"=")


class Invite:
    def __init__(self, uri):
        u = urllib.parse.urlsplit(uri)
        q = dict(urllib.parse.parse_qsl(u.query, strict_parsing=True))
        if u.scheme != "bellwether":
            raise ValueError("not an invite")
        self.host, self.port = u.hostname, u.port
        self.zone, self.code = bytes.fromhex(q["zone"]), q.get("code", "")
        self.master, self.pin = base64url(q["master"]), base64url(q["pin"])


class State:
    """What has to survive: one JSON file, replaced whole."""

    def __init__(self, directory, name):
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.path = os.path.join(directory, "state.json")
        self.values = {"name": name, "key": os.urandom(32).hex(), "seal": os.urandom(32).hex(), "position": 0, "ticket": "", "serial": 0,
                       "associated": 0, "orders": [], "flying": None}
        if os.path.exists(self.path):
            with open(self.path) as f:
                self.values = json.load(f)
        else:
            self.save()
        self.key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self["key"]))
        self.seal = X25519PrivateKey.from_private_bytes(bytes.fromhex(self["seal"]))
        if self["name"] != name:
            raise SystemExit(f"{directory} is the follower {self['name']}")

    def __getitem__(self, key):
        return self.values[key]

    def save(self, **changes):
        self.values.update(changes)
        with open(os.open(self.path + ".new", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as f:
            json.dump(self.values, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(self.path + ".new", self.path)
        directory = os.open(os.path.dirname(self.path), os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def identity(self):
        return self["name"] + "." + base64.urlsafe_b64encode(raw(self.key.public_key())).decode().rstrip("=")


class Lost(Exception):
    """The connection is."""


class Connection:
    """TLS, challenge, hello, WebSocket: all on one TCP connection."""

    def __init__(self, invite, state, code):
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        self.socket = socket.create_connection((invite.host, invite.port), timeout=20)
        self.tls = SSL.Connection(context, self.socket)
        self.tls.set_connect_state()
        self.heard = time.monotonic()
        self.patiently(self.tls.do_handshake)
        public = self.tls.get_peer_certificate().to_cryptography().public_key()
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        if hashlib.sha256(spki).digest() != invite.pin:
            raise Lost("not the master that the invite names")
        answer = self.open(invite, [])
        challenge = dict(answer.headers).get(b"www-authenticate", b"").decode() if isinstance(answer, events.RejectConnection) else ""
        if not challenge.startswith('Bellwether nonce="'):
            raise Lost("no challenge came")
        binding = self.tls.export_keying_material(b"EXPORTER-Channel-Binding", 32)
        ticket = b"" if state["associated"] else bytes.fromhex(state["ticket"])
        proof = hello(state.key, invite, state["name"], base64url(challenge.split('"')[1]), binding, code, ticket)
        answer = self.open(invite, [(b"Authorization", proof)])
        if not isinstance(answer, events.AcceptConnection) or answer.subprotocol != "bellwether.1":
            raise Lost("the master does not let this follower in")

    def open(self, invite, headers):
        """Makes one request and gives the event that answers it."""
        self.ws, self.pending, self.partial = WSConnection(ConnectionType.CLIENT), [], b""
        self.write(self.ws.send(events.Request(host=f"{invite.host}:{invite.port}", target="/v1/member", subprotocols=["bellwether.1"], extra_headers=headers)))
        while True:
            self.read()
            answer = next((e for e in self.pending if isinstance(e, (events.AcceptConnection, events.RejectConnection))), None)
            if answer is None:
                continue
            if isinstance(answer, events.RejectConnection) and answer.has_body and not any(getattr(e, "body_finished", False) for e in self.pending):
                continue
            self.pending = [e for e in self.pending if isinstance(e, (events.BytesMessage, events.Ping))]
            return answer

    def patiently(self, call, *args):
        while True:
            try:
                return call(*args)
            except SSL.WantReadError:
                wait = self.heard + SILENCE - time.monotonic()
                if wait <= 0 or not select.select([self.socket], [], [], wait)[0]:
                    raise Lost("the master is silent")
            except SSL.WantWriteError:
                if not select.select([], [self.socket], [], SILENCE)[1]:
                    raise Lost("the master does not listen")
            except SSL.Error as e:
                raise Lost(f"the connection broke: {e}")

    def write(self, data):
        while data:
            data = data[self.patiently(self.tls.send, data):]

    def read(self):
        self.receive(self.patiently(self.tls.recv, 65536))

    def poll(self):
        """Takes what has come, without waiting."""
        while True:
            try:
                self.receive(self.tls.recv(65536))
            except SSL.WantReadError:
                return
            except SSL.Error as e:
                raise Lost(f"the connection broke: {e}")

    def receive(self, data):
        if not data:
            raise Lost("the master closed the connection")
        self.heard = time.monotonic()
        self.ws.receive_data(data)
        for event in self.ws.events():
            if isinstance(event, events.Ping):
                self.write(self.ws.send(event.response()))
            elif isinstance(event, events.CloseConnection):
                raise Lost(f"the master closed the session: {event.reason}")
            else:
                self.pending.append(event)

    def frames(self):
        """Gives the frames that have come."""
        came, self.pending = self.pending, []
        for event in came:
            if not isinstance(event, events.BytesMessage):
                continue
            self.partial += event.data
            if event.message_finished:
                frame, self.partial = self.partial, b""
                yield decode(frame)

    def send(self, frame):
        self.write(self.ws.send(events.BytesMessage(data=encode(frame))))


class Follower:
    def __init__(self, state, invite):
        self.state, self.invite, self.input, self.code = state, invite, b"", invite.code
        self.reads, self.ended = {}, False

    def run(self, stay):
        wait = 0.5
        while True:
            try:
                self.session(stay)
                return
            except (Lost, OSError) as e:
                say(problem=str(e))
            self.code = "" if self.code else self.invite.code  # it may have been used
            wait = 0.5 if self.welcomed else min(2 * wait, 60)
            time.sleep(wait * random.uniform(0.5, 1))

    def session(self, stay):
        self.welcomed, self.member, self.keys, self.asked, self.again = False, False, {}, set(), 0
        for order in self.reads.values():
            say(problem="the object was lost with the connection: read again", order=order)
        self.reads = {}
        self.link = Connection(self.invite, self.state, self.code)
        try:
            while not self.finished(stay):
                self.link.poll()
                for frame in self.link.frames():
                    self.hear(frame)
                if self.welcomed:
                    self.speak()
                self.wait()
        finally:
            self.link.socket.close()

    def finished(self, stay):
        return self.ended and not stay and not self.state["orders"] and not self.state["flying"] and not self.reads

    def wait(self):
        if self.finished(False):
            return
        sources = [self.link.socket] + ([] if self.ended else [0])
        left = self.link.heard + SILENCE - time.monotonic()
        ready = select.select(sources, [], [], max(0, left))[0]
        if not ready:
            raise Lost("the master is silent")
        if 0 in ready:
            data = os.read(0, 65536)
            self.ended = not data
            *lines, self.input = (self.input + data).split(b"\n")
            orders = [json.loads(line) for line in lines if line.strip()]
            if orders:
                self.state.save(orders=self.state["orders"] + orders)

    def hear(self, frame):
        kind, *rest = frame
        {1: self.welcome, 2: self.ticket, 3: self.receipt, 4: self.refusal, 5: self.delivery, 6: self.object, 7: self.lookup, 8: self.bye}[kind](*rest)

    def welcome(self, standing, height, epoch, n, newest):
        if not self.welcomed:
            self.n = n
            flying = self.state["flying"]
            if flying:  # it may stand on the ledger, or not
                self.again = flying["n"]
                self.submit(flying)
        self.welcomed, self.member = True, standing == "member"
        say(standing=standing, height=height)

    def ticket(self, data):
        signer, payload = verify(data, b"bellwether/ticket/1\0")
        t = decode(payload)
        if signer != self.invite.master or t[1] != self.invite.zone or t[2] != self.state["name"] or t[3] != raw(self.state.key.public_key()):
            raise Lost("a ticket that is not for this follower")
        if t[10] > self.state["serial"]:
            self.state.save(ticket=data.hex(), serial=t[10])

    def receipt(self, n, identifier, block):
        flying = self.state["flying"]
        if not flying or flying["n"] != n:
            return
        if bytes.fromhex(flying["id"]) != identifier:
            raise Lost("a receipt for something else")
        self.n = max(self.n, n)
        if flying["serial"]:
            self.member = True
            self.state.save(flying=None, associated=flying["serial"])
            return
        if "read" in flying["order"] and n != self.again:
            self.reads[n] = flying["order"]
        self.state.save(flying=None)
        say(receipt=n, h_id=identifier.hex(), block=block, order=flying["order"])

    def refusal(self, n, code):
        flying = self.state["flying"]
        if not flying or flying["n"] != n:
            return
        if code == "order" or code in ("expired", "association") and not flying["serial"]:
            orders = self.state["orders"] if flying["serial"] else [flying["order"]] + self.state["orders"]
            self.state.save(flying=None, orders=orders)
            raise Lost(f"to be signed anew: {code}")
        self.state.save(flying=None, associated=max(self.state["associated"], flying["serial"]))
        say(refused=code, order=flying["order"])

    def delivery(self, position, received, data, payload):
        if position > self.state["position"]:
            say(position=position, received=received, **self.read(data, payload))
            self.state.save(position=position)
        self.link.send([17, self.state["position"]])

    def object(self, n, data, payload):
        order = self.reads.pop(n, None)
        if order:
            say(**self.read(data, payload), read=n)

    def read(self, data, payload):
        """Gives what a member's message says."""
        _, signed = verify(data, b"bellwether/member-tx/1\0")
        tx = decode(signed)
        body = tx[6]
        carries = body[2] not in (OPS["read"], OPS["delete"])
        if tx[1] != self.invite.zone or tx[2] != 9 or len(payload) != body[6] or carries and payload_hash(payload) != body[5]:
            raise Lost("a message that its sender did not sign")
        said = {"from": tx[4], "op": next(word for word in OPS if OPS[word] == body[2]), "h_id": h_id(signed).hex(), "sealed": body[7]}
        if body[4] != NOTHING:
            said["ref"] = body[4].hex()
        if body[3]:
            said["object"] = body[3]
        try:
            content = unseal(self.state.seal, envelope(tx[1], tx[4], body[1], tx[5]), payload) if body[7] else payload[16:]
            said["text"] = content.decode("utf-8", "backslashreplace")
        except (InvalidTag, ValueError):
            said["problem"] = "not sealed to this follower"
        return said

    def lookup(self, name, data):
        self.keys[name] = NOTHING
        if data:
            signer, signed = verify(data, b"bellwether/member-tx/1\0")
            tx = decode(signed)
            by, payload = verify(tx[6][1], b"bellwether/ticket/1\0")
            ticket = decode(payload)
            if tx[2] != 8 or tx[4] != name or by != self.invite.master or ticket[1] != self.invite.zone or ticket[2] != name or ticket[3] != signer:
                raise Lost(f"the master does not prove who {name} is")
            self.keys[name] = tx[6][2]

    def bye(self, code):
        raise Lost(f"the master says bye: {code}")

    def speak(self):
        """Says what is next, if nothing is under way. It is durable before it is sent."""
        state = self.state
        if state["flying"]:
            return
        n = self.n + 1
        if state["serial"] > state["associated"]:
            body = {1: bytes.fromhex(state["ticket"]), 2: raw(state.seal.public_key())}
            self.submit(self.sign(n, 8, body, b"", None, state["serial"]), state["orders"])
            return
        if not self.member or not state["orders"]:
            return
        order, *orders = state["orders"]
        op = next(word for word in OPS if word in order)
        content = order.get("text", "").encode()
        if op in ("read", "delete"):
            payload = b""
        elif order.get("seal"):
            key = self.keys.get(order[op])
            if key is None:
                if order[op] not in self.asked:
                    self.asked.add(order[op])
                    self.link.send([18, order[op]])
                return
            if key == NOTHING:  # there is none, or the policy keeps it from this follower; the next order asks again
                del self.keys[order[op]]
                self.asked.discard(order[op])
                state.save(orders=orders)
                say(refused="recipient", order=order)
                return self.speak()
            payload = seal(key, envelope(self.invite.zone, state["name"], order[op], n), content)
        else:
            payload = os.urandom(16) + content
        self.submit(self.sign(n, 9, message(order, payload), payload, order, 0), orders)

    def sign(self, n, kind, body, payload, order, serial):
        data = transaction(self.state.key, self.invite.zone, self.state["name"], n, kind, body)
        return {"n": n, "data": data.hex(), "payload": payload.hex(), "id": h_id(decode(data).value[2]).hex(), "order": order, "serial": serial}

    def submit(self, flying, orders=None):
        if orders is not None:
            self.state.save(flying=flying, orders=orders)
        self.link.send([16, bytes.fromhex(flying["data"]), bytes.fromhex(flying["payload"])])


def say(**what):
    print(json.dumps(what), flush=True)


def first_line():
    """Reads a line of stdin, and nothing behind it."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line.decode().strip()


def main(arguments):
    stay = "--stay" in arguments
    match [a for a in arguments if a != "--stay"]:
        case ["identity", directory, name]:
            print(State(directory, name).identity())
        case ["run", directory, name, invite]:
            Follower(State(directory, name), Invite(first_line() if invite == "-" else invite)).run(stay)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
