#!/usr/bin/env python3
"""Checks an evidence bundle of Sealpost offline. Needs Python 3.9 and `cryptography` 42 or newer, and nothing of Sealpost.

usage: verify.py [BUNDLE] [--vkey-sha256 HEX] [--tsa-ca FILE]

BUNDLE          directory of the bundle; without it, the one this script lies in
--vkey-sha256   the SHA-256 of log.vkey as you got it by another way (a mail with a checkpoint states it)
--tsa-ca        PEM file with the authorities whose time stamps you believe

One line a check. Exit status: 0 every check holds, 1 one does not, 2 it could not be checked.
"""
import argparse
import base64
import datetime
import hashlib
import json
import os
import sys

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
except ImportError:
    print("the Python package `cryptography` is missing: pip install cryptography", file=sys.stderr)
    sys.exit(2)

RESULTS_MAX = 100000


class Bad(Exception):
    """A check that does not hold."""


def want(holds, finding):
    if not holds:
        raise Bad(finding)


def sha256(octets):
    return hashlib.sha256(octets).digest()


# --- CBOR (RFC 8949), the one form that Sealpost writes: definite lengths, shortest integers


def cbor(octets):
    value, at = cbor_item(octets, 0, 0)
    want(at == len(octets), "octets behind the CBOR record")
    return value


def cbor_item(octets, at, depth):
    want(at < len(octets) and depth < 64, "CBOR record cut short")
    major, short = octets[at] >> 5, octets[at] & 31
    at += 1
    if major == 7:
        want(short in (20, 21, 22), "unexpected CBOR value")
        return {20: False, 21: True, 22: None}[short], at
    want(short < 28, "CBOR of indefinite length")
    number = short
    if short >= 24:
        width = 1 << (short - 24)
        want(at + width <= len(octets), "CBOR record cut short")
        number = int.from_bytes(octets[at:at + width], "big")
        want(number >= (24 if width == 1 else 1 << (4 * width)), "CBOR in another form")
        at += width
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        want(at + number <= len(octets), "CBOR record cut short")
        piece = octets[at:at + number]
        return (piece if major == 2 else piece.decode("utf-8")), at + number
    want(major == 4 and number <= RESULTS_MAX, "unexpected CBOR value")
    items = []
    for _ in range(number):
        item, at = cbor_item(octets, at, depth + 1)
        items.append(item)
    return items, at


def field(items, number):
    """Trailing absent fields are left out of an array."""
    return items[number] if number < len(items) else None


def rfc3339(ms):
    when = datetime.datetime.fromtimestamp(ms // 1000, datetime.timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%S") + ".%03dZ" % (ms % 1000)


def envelope_of(record):
    """The record of acceptance as envelope.json shows it."""
    mail_id, accepted, envelope, client, size, digest, _ruling, retention, _renditions = record[:9]
    tls = field(client, 3)
    recipients = [{"address": r[0], "notify": field(r, 1), "orcpt": field(r, 2)} for r in envelope[1]]
    return {
        "id": mail_id.hex(), "accepted_at": rfc3339(accepted), "sender": envelope[0], "recipients": recipients,
        "body": ["7BIT", "8BITMIME"][envelope[2][0]], "ret": field(envelope, 3), "envid": field(envelope, 4),
        "smtputf8": envelope[5], "require_tls": field(envelope, 6) is not None,
        "client": {
            "ip": client[0], "ehlo": client[1], "protocol": client[2], "account": field(client, 4),
            "direction": ["outbound", "inbound", "journal"][client[5][0]], "at": rfc3339(client[6]),
            "tls": tls and {"version": tls[0], "cipher": tls[1], "certificate": field(tls, 2)},
        },
        "size": size, "sha256": digest.hex(), "class": retention,
    }


def result_of(record, recipients):
    """A result as results/*.json show it."""
    number, at, next_hop, (kind, words) = record[:4]
    kinds = {0: ("delivered", None, 0), 2: ("failed", 0, 1), 3: ("archived", None, None), 6: ("dropped", None, 0)}
    want(kind in kinds, "a result of an unknown kind")
    outcome, status, reply = kinds[kind]
    word = lambda place: "" if place is None else words[place]
    address = recipients[number] if number < len(recipients) else None
    return {"recipient": address, "outcome": outcome, "at": rfc3339(at), "next_hop": next_hop,
            "status": word(status), "reply": word(reply)}


# --- the log: leaves, proofs (RFC 6962), checkpoints (C2SP signed-note, tlog-checkpoint, tlog-proof)


def commitment(label, blind, record):
    parts = [label.encode(), blind, sha256(record)]
    return sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts))


def root_from(index, size, hashes_, leaf):
    """RFC 9162 section 2.1.3.2."""
    want(index < size, "the leaf lies behind the checkpoint")
    here, last, value = index, size - 1, sha256(b"\0" + leaf)
    for one in hashes_:
        want(last > 0, "the proof is too long")
        if here % 2 or here == last:
            value = sha256(b"\1" + one + value)
            while not here % 2 and here:
                here, last = here >> 1, last >> 1
        else:
            value = sha256(b"\1" + value + one)
        here, last = here >> 1, last >> 1
    want(last == 0, "the proof is too short")
    return value


class Key:
    """A verifier key: <origin>+<key id>+<base64 of 1 and the Ed25519 key>."""

    def __init__(self, line):
        text = line.decode("ascii")
        want(text.endswith("\n"), "no verifier key")
        self.origin, key_id, key = text[:-1].split("+", 2)
        octets = base64.b64decode(key, validate=True)
        want(octets[:1] == b"\1" and len(octets) == 33, "no Ed25519 key")
        self.key_id = sha256(self.origin.encode() + b"\n" + octets)[:4]
        want(key_id == self.key_id.hex(), "the key id is not the key's")
        self.key = ed25519.Ed25519PublicKey.from_public_bytes(octets[1:])

    def open(self, note):
        """Size and root that a checkpoint signs."""
        text, signatures = note.decode("utf-8").split("\n\n", 1)
        origin, size, root = text.split("\n")
        want(origin == self.origin, "a checkpoint of another log")
        prefix = "\u2014 %s " % self.origin
        for line in signatures.split("\n")[:-1]:
            if line.startswith(prefix):
                octets = base64.b64decode(line[len(prefix):], validate=True)
                want(octets[:4] == self.key_id, "signed with another key")
                try:
                    self.key.verify(octets[4:], (text + "\n").encode())
                except InvalidSignature:
                    raise Bad("the signature does not hold")
                want(str(int(size)) == size, "tree size in another form")
                return int(size), base64.b64decode(root, validate=True)
        raise Bad("not signed by this key")


def check_proof(proof, checkpoint, key, index, leaf):
    head, note = proof.decode("utf-8").split("\n\n", 1)
    lines = head.split("\n")
    want(lines[0] == "c2sp.org/tlog-proof@v1", "no tlog-proof")
    want(lines[1] == "index %d" % index, "a proof for another leaf")
    want(note.encode() == checkpoint, "a proof for another checkpoint")
    size, root = key.open(checkpoint)
    got = root_from(index, size, [base64.b64decode(line, validate=True) for line in lines[2:]], leaf)
    want(got == root, "the leaf is not in the tree of the checkpoint")


# --- time stamps (RFC 3161), DER


def der(octets, at=0):
    """Tag, content, whole value, and where the next begins."""
    want(at + 2 <= len(octets), "DER cut short")
    tag, length, begin = octets[at], octets[at + 1], at + 2
    if length >= 0x80:
        width = length - 0x80
        want(0 < width < 5, "DER length")
        length = int.from_bytes(octets[begin:begin + width], "big")
        begin += width
    want(begin + length <= len(octets), "DER cut short")
    return tag, octets[begin:begin + length], octets[at:begin + length], begin + length


def parts(octets):
    """The values in a constructed value's content."""
    found, at = [], 0
    while at < len(octets):
        tag, content, whole, at = der(octets, at)
        found.append((tag, content, whole))
    return found


def oid(text):
    numbers = [int(part) for part in text.split(".")]
    out = bytes([numbers[0] * 40 + numbers[1]])
    for number in numbers[2:]:
        piece = bytes([number & 0x7f])
        while number > 0x7f:
            number >>= 7
            piece = bytes([number & 0x7f | 0x80]) + piece
        out += piece
    return out


TST_INFO = oid("1.2.840.113549.1.9.16.1.4")
SIGNED_DATA = oid("1.2.840.113549.1.7.2")
CONTENT_TYPE = oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = oid("1.2.840.113549.1.9.4")
SIGNING_CERTIFICATE = {oid("1.2.840.113549.1.9.16.2.12"): hashes.SHA1, oid("1.2.840.113549.1.9.16.2.47"): hashes.SHA256}
HASHES = {
    oid("2.16.840.1.101.3.4.2.1"): hashes.SHA256, oid("2.16.840.1.101.3.4.2.2"): hashes.SHA384,
    oid("2.16.840.1.101.3.4.2.3"): hashes.SHA512,
}
PSS = oid("1.2.840.113549.1.1.10")


def digest(kind, octets):
    hasher = hashes.Hash(kind())
    hasher.update(octets)
    return hasher.finalize()


def hash_named(algorithm):
    name = parts(algorithm)[0][1]
    want(name in HASHES, "a hash that this script does not know; try `openssl ts -verify`")
    return HASHES[name]


class Stamp:
    """A TimeStampResp; believed only after `check`."""

    def __init__(self, octets):
        response = parts(der(octets)[1])
        want(parts(response[0][1])[0][1] in (b"\0", b"\1") and len(response) == 2, "no time stamp was granted")
        kind, signed = parts(response[1][1])
        want(kind[1] == SIGNED_DATA, "no SignedData")
        signed = parts(parts(signed[1])[0][2])[0]
        signed = parts(signed[1])
        content = parts(signed[2][1])
        want(content[0][1] == TST_INFO, "not a time stamp")
        self.content = parts(content[1][1])[0][1]
        self.certificates = [c[2] for tag, body, _ in signed if tag == 0xa0 for c in parts(body)]
        signers = parts(signed[-1][1])
        want(signed[-1][0] == 0x31 and len(signers) == 1, "not one signer")
        self.info = parts(signers[0][1])
        stated = parts(parts(self.content)[0][1])
        imprint = parts(stated[2][1])
        want(hash_named(imprint[0][1]) is hashes.SHA256, "an imprint by another hash than SHA-256")
        self.imprint = imprint[1][1]
        text = stated[4][1].decode("ascii").rstrip("Z").split(".")[0]
        self.at = datetime.datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=datetime.timezone.utc)

    def signer(self):
        named = self.info[1]
        for octets in self.certificates:
            body = parts(parts(der(octets)[1])[0][1])
            body = body[1:] if body[0][0] == 0xa0 else body
            if named[0] == 0x80:
                ski = x509.load_der_x509_certificate(octets).extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
                if ski.value.digest == named[1]:
                    return octets
            else:
                issuer, serial = parts(named[1])[:2]
                if (issuer[2], serial[1]) == (body[2][2], body[0][1]):
                    return octets
        raise Bad("the signer's certificate is not in the time stamp")

    def check(self):
        """Signature, purpose; the certificate that signed."""
        octets = self.signer()
        certificate = x509.load_der_x509_certificate(octets)
        attributes = self.info[3]
        want(attributes[0] == 0xa0, "no signed attributes")
        known = {parts(a[1])[0][1]: parts(parts(a[1])[1][1])[0] for a in parts(attributes[1])}
        kind = hash_named(self.info[2][1])
        want(known[CONTENT_TYPE][1] == TST_INFO, "signed as something else")
        want(known[MESSAGE_DIGEST][1] == digest(kind, self.content), "another content was signed")
        bound = [(default, known[name]) for name, default in SIGNING_CERTIFICATE.items() if name in known]
        want(bound, "not bound to a certificate")
        for default, value in bound:
            first = parts(parts(parts(value[1])[0][1])[0][1])
            used = hash_named(first[0][1]) if first[0][0] == 0x30 else default
            stated = first[1] if first[0][0] == 0x30 else first[0]
            want(stated[1] == digest(used, octets), "signed for another certificate")
        self.verify(certificate.public_key(), kind, b"\x31" + attributes[2][1:])
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        want(usage.critical and list(usage.value) == [x509.ExtendedKeyUsageOID.TIME_STAMPING], "no certificate for time stamps")
        want(valid_at(certificate, self.at), "the certificate was not valid then")
        return certificate

    def verify(self, key, kind, signed):
        algorithm, signature = parts(self.info[4][1])[0][1], self.info[5][1]
        try:
            if isinstance(key, rsa.RSAPublicKey):
                pss = padding.PSS(padding.MGF1(kind()), padding.PSS.AUTO)
                key.verify(signature, signed, pss if algorithm == PSS else padding.PKCS1v15(), kind())
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, signed, ec.ECDSA(kind()))
            elif isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, signed)
            else:
                raise Bad("a kind of key that this script does not know; try `openssl ts -verify`")
        except InvalidSignature:
            raise Bad("the signature of the time stamp does not hold")

    def chain(self, certificate, authorities):
        """Whether the certificate leads to one of these, over those in the time stamp."""
        others = [x509.load_der_x509_certificate(octets) for octets in self.certificates]
        for _ in range(10):
            if certificate in authorities:
                return
            issuer = next((c for c in authorities + others if issued(c, certificate) and valid_at(c, self.at)), None)
            want(issuer is not None and issuer != certificate, "it does not lead to an authority of yours")
            certificate = issuer
        raise Bad("too long a chain")


def valid_at(certificate, when):
    return certificate.not_valid_before_utc <= when <= certificate.not_valid_after_utc


def issued(issuer, certificate):
    try:
        certificate.verify_directly_issued_by(issuer)
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False


# --- the bundle


class Bundle:
    def __init__(self, place, arguments):
        self.place, self.arguments, self.failed, self.when = place, arguments, 0, None

    def read(self, name):
        with open(os.path.join(self.place, *name.split("/")), "rb") as file:
            return file.read()

    def check(self, what, test):
        try:
            said = test()
            print("ok   %s%s" % (what, ": " + said if said else ""))
        except Bad as finding:
            self.failed += 1
            print("BAD  %s: %s" % (what, finding))
        except Exception as finding:  # whatever a bent file makes of a parser
            self.failed += 1
            print("BAD  %s: cannot be read (%s: %s)" % (what, type(finding).__name__, finding))

    def files(self):
        octets = self.read("manifest.json")
        manifest = json.loads(octets)
        again = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        want(octets == again, "manifest.json in another form")
        want(set(manifest) == {"files", "id", "version"} and manifest["version"] == 1, "a bundle of an unknown version")
        there = sorted(
            os.path.relpath(os.path.join(root, name), self.place).replace(os.sep, "/")
            for root, _, names in os.walk(self.place) for name in names)
        there.remove("manifest.json")
        want(there == sorted(manifest["files"]), "files too many or too few: %s" % sorted(set(there) ^ set(manifest["files"])))
        for name, stated in manifest["files"].items():
            found = self.read(name)
            same = {"bytes": len(found), "sha256": sha256(found).hex()} == stated
            want(same, "%s is not what was written" % name)
        want(manifest["id"] == cbor(self.read("envelope.cbor"))[0].hex(), "a manifest of another message")
        return "%d files" % len(there)

    def message(self):
        record, octets = cbor(self.read("envelope.cbor")), self.read("message.eml")
        want(record[4] == len(octets), "message.eml has another length than was accepted")
        want(record[5] == sha256(octets), "message.eml has another SHA-256 than was accepted")
        return "%d octets, SHA-256 %s" % (len(octets), record[5].hex())

    def envelope(self):
        shown = json.loads(self.read("envelope.json"))
        want(shown == envelope_of(cbor(self.read("envelope.cbor"))), "envelope.json says otherwise than envelope.cbor")
        sender, to = shown["sender"] or "<>", ", ".join(r["address"] for r in shown["recipients"])
        return "from %s to %s" % (sender, to)

    def accepted(self):
        opening, record = json.loads(self.read("accept.json")), self.read("envelope.cbor")
        leaf, blind = bytes.fromhex(opening["leaf"]), bytes.fromhex(opening["blind"])
        want(len(blind) == 32, "a blind of another length")
        want(leaf == b"\1\1" + commitment("sealpost accept leaf", blind, record), "the leaf commits to another record")
        check_proof(self.read("accept.tlog-proof"), self.read("checkpoint"), self.key, opening["index"], leaf)
        return "leaf %d is in the log and commits to envelope.cbor" % opening["index"]

    def result(self, name):
        record = self.read("results/%s.cbor" % name)
        opening, accept = json.loads(self.read("results/%s.json" % name)), json.loads(self.read("accept.json"))
        recipients = [r["address"] for r in json.loads(self.read("envelope.json"))["recipients"]]
        want(opening["result"] == result_of(cbor(record), recipients), "the JSON says otherwise than the record")
        leaf, blind = bytes.fromhex(opening["leaf"]), bytes.fromhex(opening["blind"])
        head = b"\2\1" + accept["index"].to_bytes(8, "big")
        want(leaf == head + commitment("sealpost result leaf", blind, record), "the leaf commits to another record")
        proof = self.read("results/%s.tlog-proof" % name)
        check_proof(proof, self.read("checkpoint"), self.key, opening["index"], leaf)
        return "%(recipient)s %(outcome)s at %(at)s" % opening["result"]

    def load_key(self):
        line = self.read("log.vkey")
        self.key, fingerprint = Key(line), sha256(line).hex()
        given = self.arguments.vkey_sha256
        want(given is None or given.lower() == fingerprint, "SHA-256 %s, not the one you gave" % fingerprint)
        return "SHA-256 %s%s" % (fingerprint, "" if given else " (compare it with one you got by another way)")

    def checkpoint(self):
        size, root = self.key.open(self.read("checkpoint"))
        return "signed, %d entries, root %s" % (size, root.hex())

    def time_stamp(self):
        note, response = self.read("timestamp/checkpoint"), self.read("timestamp/response.tsr")
        anchor = json.loads(self.read("timestamp/anchor.json"))
        leaf = bytes.fromhex(anchor["leaf"])
        want(leaf[:2] == b"\x0b\1", "no ANCHOR leaf")
        variant, ((size, root), token) = cbor(leaf[2:])
        want(variant == 2 and (size, root) == self.key.open(note), "the log names another checkpoint as stamped")
        want(token == sha256(response), "the log names another time stamp")
        proof = self.read("timestamp/anchor.tlog-proof")
        check_proof(proof, self.read("checkpoint"), self.key, anchor["index"], leaf)
        stamp = Stamp(response)
        want(stamp.imprint == sha256(note), "it stamps another checkpoint")
        certificate = stamp.check()
        opening = json.loads(self.read("accept.json"))
        proof = self.read("timestamp/accept.tlog-proof")
        check_proof(proof, note, self.key, opening["index"], bytes.fromhex(opening["leaf"]))
        pem = x509.load_pem_x509_certificates(self.read("timestamp/certificates.pem"))
        want(sorted(c.fingerprint(hashes.SHA256()) for c in pem)
             == sorted(sha256(octets) for octets in stamp.certificates), "certificates.pem are not those of the time stamp")
        believed = "; whether to believe it is for you: --tsa-ca FILE"
        if self.arguments.tsa_ca:
            with open(self.arguments.tsa_ca, "rb") as file:
                stamp.chain(certificate, x509.load_pem_x509_certificates(file.read()))
            believed = ", which one of your authorities vouches for"
        self.when = stamp.at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return "%s by %s%s" % (self.when, certificate.subject.rfc4514_string(), believed)

    def run(self):
        self.key = None
        self.check("files", self.files)
        self.check("message", self.message)
        self.check("envelope", self.envelope)
        self.check("log key", self.load_key)
        self.check("checkpoint", self.checkpoint)
        self.check("acceptance", self.accepted)
        results = os.path.join(self.place, "results")
        for name in sorted(n[:-5] for n in os.listdir(results) if n.endswith(".cbor")) if os.path.isdir(results) else []:
            self.check("result %s" % name, lambda: self.result(name))
        if os.path.isdir(os.path.join(self.place, "timestamp")):
            self.check("time stamp", self.time_stamp)
        if self.failed:
            print("%d checks do not hold: this bundle proves nothing" % self.failed)
            return 1
        if self.when:
            print("These octets with this envelope were accepted not later than %s." % self.when)
        else:
            print("These octets with this envelope were accepted before the checkpoint was signed; no outsider stamped the time.")
        return 0


def main():
    parser = argparse.ArgumentParser(description="Checks an evidence bundle of Sealpost offline.")
    parser.add_argument("bundle", nargs="?", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--vkey-sha256", metavar="HEX")
    parser.add_argument("--tsa-ca", metavar="FILE")
    arguments = parser.parse_args()
    if not os.path.isfile(os.path.join(arguments.bundle, "manifest.json")):
        print("%s: no bundle, it has no manifest.json" % arguments.bundle, file=sys.stderr)
        return 2
    return Bundle(arguments.bundle, arguments).run()


if __name__ == "__main__":
    sys.exit(main())
