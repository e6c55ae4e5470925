#!/usr/bin/env python3
"""Opens a Sealpost archive without Sealpost: writes every message as .eml, with a listing, and checks all of it on the way.

Needs Python 3.9 or newer with `cryptography` 48 or newer, GnuPG for the officers' shares, and one of: the Python package
`zstandard`, Python 3.14, or the program `zstd`. Only reads the archive. The format is docs/archive-format.md; the steps for
people are docs/recovery.md. Exit codes: 0 all is well, 1 something is missing or damaged (everything else was written), 2 usage.
"""
import argparse
import base64
import csv
import datetime
import hashlib
import hmac
import io
import pathlib
import re
import shutil
import subprocess
import sys

FORMAT = 1
ERASE, EXPIRE = 7, 8
SEAL, KEY, EPOCH, ACCEPT = 4, 10, 0, 1
CHUNK = (1 << 20) + 16
META_MAX, DIRECTORY_MAX, BODY_MAX = 32 << 20, 16 << 20, 1 << 30


class Fault(Exception):
    """Something that is missing, damaged or not ours; the text is for people."""


def need(condition, text):
    if not condition:
        raise Fault(text)


# --- reading ---------------------------------------------------------------------------------------------------------


def cbor(octets):
    """The one CBOR value (RFC 8949) that `octets` are. Only the forms that the format allows; anything else is a Fault."""
    value, at = cbor_item(octets, 0, 0)
    need(at == len(octets), "octets behind a record")
    return value


def cbor_item(octets, at, depth):
    need(depth <= 512, "a record nests too deep")
    need(at < len(octets), "a record is cut short")
    major, info, at = octets[at] >> 5, octets[at] & 31, at + 1
    if info < 24:
        number = info
    else:
        need(info <= 27, "a record in another form")
        length = 1 << (info - 24)
        need(at + length <= len(octets), "a record is cut short")
        number, at = int.from_bytes(octets[at : at + length], "big"), at + length
        need(major == 7 or number >= (24, 1 << 8, 1 << 16, 1 << 32)[info - 24], "a number in another form")
    if major in (0, 1):
        return (number if major == 0 else -1 - number), at
    if major in (2, 3):
        need(number <= len(octets) - at, "a record is cut short")
        raw = octets[at : at + number]
        return (raw if major == 2 else raw.decode("utf-8")), at + number
    if major == 4:
        need(number <= len(octets) - at, "a record is cut short")
        items = []
        for _ in range(number):
            item, at = cbor_item(octets, at, depth + 1)
            items.append(item)
        return items, at
    need(major == 7 and info in (20, 21, 22), "a record in another form")
    return {20: False, 21: True, 22: None}[info], at


def field(record, at):
    """A field of a record; trailing absent ones are left out."""
    return record[at] if at < len(record) else None


class Reader:
    """Fixed fields, one behind the other."""

    def __init__(self, octets, what):
        self.octets, self.what, self.at = octets, what, 0

    def take(self, count):
        need(self.at + count <= len(self.octets), f"{self.what} is cut short")
        self.at += count
        return self.octets[self.at - count : self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def magic(self, magic, version):
        need(self.take(len(magic)) == magic, f"{self.what} is none")
        found = self.number(2)
        need(found == version, f"{self.what} has version {found}; this script knows {version}: use a newer one")
        need(self.number(2) == 0, f"{self.what} uses what this script does not know")


# --- cryptography (section 1 and 3 of the format) ----------------------------------------------------------------------


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def u32(number):
    return number.to_bytes(4, "big")


def hkdf(key, info, salt=bytes(32), length=32):
    return hkdf_expand(hmac.digest(salt, key, "sha256"), info, length)


def hkdf_expand(prk, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([counter]), "sha256")
        out, counter = out + block, counter + 1
    return out[:length]


def kdf(key, label, *items):
    lengths = [u32(len(item)) + item for item in (label.encode(), *items)]
    return hkdf(key, b"sealpost v1 " + b"".join(lengths))


def gcm(key, nonce, aad, sealed):
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Fault("not authentic") from None


def stream(key, aad, sealed):
    """STREAM: a commitment to the key, then chunks with counter and last-chunk flag."""
    need(hmac.compare_digest(sealed[:32], kdf(key, "stream commitment", aad)), "not under this key")
    content, out = kdf(key, "stream content", aad), []
    starts = range(32, max(len(sealed), 33), CHUNK)
    for number, start in enumerate(starts):
        is_last = start + CHUNK >= len(sealed)
        nonce = bytes(7) + u32(number) + bytes([is_last])
        out.append(gcm(content, nonce, aad, sealed[start : start + CHUNK]))
    return b"".join(out)


def xwing_keys(secret):
    """Both halves of an X-Wing key (draft-connolly-cfrg-xwing-kem) from its 32 octets."""
    try:
        from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
    except ImportError:
        raise Fault("the Python package `cryptography` is older than 48: pip install 'cryptography>=48'") from None
    expanded = hashlib.shake_256(secret).digest(96)
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        x25519.X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


def xwing_public(secret):
    ours_m, ours_x = xwing_keys(secret)
    return ours_m.public_key().public_bytes_raw() + ours_x.public_key().public_bytes_raw()


def xwing_open(secret, encapsulated):
    from cryptography.hazmat.primitives.asymmetric import x25519

    ours_m, ours_x = xwing_keys(secret)
    cipher_m, cipher_x = encapsulated[:1088], encapsulated[1088:]
    shared_x = ours_x.exchange(x25519.X25519PublicKey.from_public_bytes(cipher_x))
    public_x = ours_x.public_key().public_bytes_raw()
    return hashlib.sha3_256(ours_m.decapsulate(cipher_m) + shared_x + cipher_x + public_x + rb"\.//^" + b"\\").digest()


def hpke_open(secret, info, aad, sealed):
    """RFC 9180 base mode, one message: X-Wing (0x647a), HKDF-SHA-256 (1), ChaCha20-Poly1305 (3)."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    need(len(sealed) >= 1136, "a wrapped key is cut short")
    suite = b"HPKE" + bytes.fromhex("647a00010003")
    extract = lambda salt, label, key: hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + key, "sha256")
    expand = lambda prk, label, context, length: hkdf_expand(
        prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context, length
    )
    shared = xwing_open(secret, sealed[:1120])
    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info.encode())
    base = extract(shared, b"secret", b"")
    key, nonce = expand(base, b"key", context, 32), expand(base, b"base_nonce", context, 12)
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed[1120:], aad)
    except InvalidTag:
        raise Fault("the archive key does not open a wrapped key") from None


def unzstd(octets, most):
    """One zstd frame of at most `most` octets, with whatever is at hand."""
    try:
        import zstandard

        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(octets)) as reader:
            out = reader.read(most + 1)
    except ImportError:
        try:
            from compression import zstd

            out = zstd.decompress(octets)
        except ImportError:
            need(shutil.which("zstd"), "nothing here reads zstd: pip install zstandard, or install the program zstd")
            done = subprocess.run(["zstd", "-dcq"], input=octets, capture_output=True, check=False)
            need(done.returncode == 0, "a unit that zstd does not read")
            out = done.stdout
    need(len(out) <= most, "a unit is longer than the format allows")
    return out


# --- the archive key (section 3) ---------------------------------------------------------------------------------------


class Generation:
    """One archive key: its public half, and its secret in pieces for the officers."""

    def __init__(self, path):
        octets = path.read_bytes()
        magic = b"sealpost archive key 1\n"
        need(octets.startswith(magic), f"{path.name} is no archive key of version 1")
        self.hash = sha256(octets)
        record = cbor(octets[len(magic) :])
        self.archive, self.number, self.public, _, self.threshold, officers, self.subsets = record[:7]
        # From the second generation on: the secrets of earlier ones, sealed to this one.
        self.older = field(record, 8) or []
        self.officers = [officer[0] for officer in officers]

    def pieces(self):
        """Every piece: set of officers, officer, OpenPGP message."""
        for subset in self.subsets:
            for officer, piece in zip(subset[0], subset[1]):
                yield tuple(subset[0]), officer, piece

    def combine(self, pieces):
        """The secret from decrypted pieces by (set, officer); None when no set is complete."""
        for subset in self.subsets:
            members = tuple(subset[0])
            have = [pieces.get((members, officer)) for officer in members]
            if all(have):
                secret = bytes(32)
                for piece in have:
                    secret = bytes(a ^ b for a, b in zip(secret, piece))
                if xwing_public(secret) == self.public:
                    return secret
                numbers = [m + 1 for m in members]
                say(f"the shares of officers {numbers} do not make archive key {self.number}: one is wrong")
        return None


def parse_piece(text, archive):
    """A decrypted share: generation, set, officer, piece. CR LF counts as LF."""
    pattern = (
        r"sealpost archive key share 1\narchive ([0-9a-f]{32})\ngeneration (\d+)\nofficers ([\d,]+)\n"
        r"officer (\d+)\npiece ([0-9a-f]{64})\n?"
    )
    found = re.fullmatch(pattern, text.replace("\r\n", "\n"))
    need(found, "not a share of an archive key")
    need(bytes.fromhex(found[1]) == archive, "a share of another archive")
    members = tuple(int(n) - 1 for n in found[3].split(","))
    return int(found[2]), members, int(found[4]) - 1, bytes.fromhex(found[5])


def unlock(archive, options):
    """Secrets of archive keys by generation: from shares, then whatever these secrets open."""
    found = {}
    for path in options.share:
        generation, members, officer, piece = parse_piece(path.read_text(), archive.id)
        found.setdefault(generation, {})[members, officer] = piece
    secrets = {}
    for number in sorted(archive.generations, reverse=True):
        generation = archive.generations[number]
        pieces = found.get(number, {})
        if number not in secrets:
            secret = generation.combine(pieces) or (None if options.share else ask_gpg(generation, archive.id, options))
            if secret:
                secrets[number] = secret
        for older, sealed in generation.older if number in secrets else []:
            aad = archive.id + u32(older) + u32(number)
            secrets.setdefault(older, hpke_open(secrets[number], "older archive key", aad, sealed))
    need(secrets, "no archive key could be put together: too few officers' keys are here (docs/recovery.md, step 3)")
    return secrets


def ask_gpg(generation, archive, options):
    pieces = {}
    for members, officer, sealed in generation.pieces():
        # Of a set that lacks an earlier officer the rest is not asked for.
        if all((members, m) in pieces for m in members if m < officer):
            done = subprocess.run([options.gpg, "--decrypt"], input=sealed, capture_output=True, check=False)
            if done.returncode == 0:
                _, _, _, pieces[members, officer] = parse_piece(done.stdout.decode(), archive)
                secret = generation.combine(pieces) if officer == members[-1] else None
                if secret:
                    return secret
            else:
                last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                who = f"officer {officer + 1} ({generation.officers[officer]})"
                say(f"gpg opens no share of {who}: {''.join(last)}")
    return None


# --- the log (sections 4 and 5) ----------------------------------------------------------------------------------------


class Archive:
    """Descriptor, keys and log of an archive, checked against each other."""

    def __init__(self, root):
        self.root, self.faults, self.is_log_whole = root, [], False
        octets = (root / "archive").read_bytes()
        magic = b"sealpost archive 1\n"
        need(octets.startswith(magic), f"{root / 'archive'} is no archive of version 1")
        need(sha256(octets[:-32]) == octets[-32:], f"{root / 'archive'} is damaged")
        self.id, self.created, self.uid_base, self.log_key = cbor(octets[len(magic) + 1 : -32])
        self.generations = {}
        for path in sorted(root.glob("keys/generation-*")):
            self.attempt(path.name, lambda path=path: self.add(Generation(path)))
        self.leaves = self.attempt("log", self.read_log) or []
        self.seals = [seal for index, seal in self.of_kind(SEAL)]
        self.gone = self.read_acts()
        for _, key in self.of_kind(KEY):
            generation = self.generations.get(key[0])
            if generation and generation.hash != key[1]:
                self.fault(f"keys/generation-{key[0]}", "not the file that the log names")

    def add(self, generation):
        need(generation.archive == self.id, "the key of another archive")
        self.generations[generation.number] = generation

    def fault(self, name, text):
        self.faults.append((name, str(text)))
        say(f"{name}: {text}")

    def attempt(self, name, what):
        try:
            return what()
        except (Fault, OSError, ValueError, IndexError, TypeError) as error:
            self.fault(name, error if str(error) else type(error).__name__)
            return None

    def read_log(self):
        """All leaves under the signed checkpoint."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        text, signatures = (self.root / "log/checkpoint").read_text("utf-8").split("\n\n", 1)
        origin, size, root = text.split("\n")
        need(origin == f"sealpost/{self.id.hex()}", "the checkpoint of another log")
        line = next((l for l in signatures.splitlines() if l.startswith(f"\u2014 {origin} ")), None)
        need(line, "the checkpoint has no signature of the log")
        try:
            signature = base64.b64decode(line.split(" ")[2])[4:]
            Ed25519PublicKey.from_public_bytes(self.log_key).verify(signature, (text + "\n").encode())
        except InvalidSignature:
            raise Fault("the checkpoint's signature does not hold") from None
        leaves = []
        while len(leaves) < int(size):
            name = self.bundle_name(len(leaves) // 256, min(256, int(size) - len(leaves)))
            reader = Reader((self.root / name).read_bytes(), name)
            while reader.at < len(reader.octets):
                leaves.append(reader.take(reader.number(2)))
        leaves = leaves[: int(size)]
        self.is_log_whole = merkle(leaves) == base64.b64decode(root)
        if not self.is_log_whole:
            self.fault("log", "its leaves are not those of the checkpoint")
        return leaves

    def bundle_name(self, number, width):
        name, rest = f"{number % 1000:03}", number // 1000
        while rest:
            name, rest = f"x{rest % 1000:03}/{name}", rest // 1000
        return f"log/tile/entries/{name}" + (f".p/{width}" if width < 256 else "")

    def of_kind(self, kind):
        for index, leaf in enumerate(self.leaves):
            if leaf and leaf[0] == kind:
                need(leaf[1] == FORMAT, f"leaf {index} has version {leaf[1]}; this script knows {FORMAT}: use a newer one")
                record = self.attempt(f"leaf {index}", lambda leaf=leaf: cbor(leaf[2:]))
                if isinstance(record, list):
                    yield index, record

    def read_acts(self):
        """What was erased or has expired: per segment the slots, `None` for all, with the word for it."""
        gone = {}
        for index, (_, _, _, slots) in self.of_kind(ERASE):
            for segment, ranges in slots:
                gone.setdefault(segment, []).append((f"erased (leaf {index})", ranges, False))
        for index, (_, _, segments) in self.of_kind(EXPIRE):
            for segment, spared in segments:
                gone.setdefault(segment, []).append((f"expired (leaf {index})", spared, True))
        return gone

    def is_gone(self, segment, slot):
        for word, ranges, is_spared in self.gone.get(segment, []):
            inside = any(first <= slot < first + count for first, count in zip(ranges[::2], ranges[1::2]))
            if inside != is_spared:
                return word
        return None


def merkle(leaves):
    """RFC 6962 tree head."""
    level = [sha256(b"\0", leaf) for leaf in leaves]
    while len(level) > 1:
        pairs = [sha256(b"\1", level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0] if level else sha256(b"")


# --- segments (sections 6 and 7) ---------------------------------------------------------------------------------------


class Segment:
    """A data object with its key object, opened."""

    def __init__(self, archive, segment, seal, secrets):
        self.archive, self.id, self.name = archive, segment, f"segments/{segment.hex()}.data"
        self.read_keys(seal, secrets)
        self.file = open(archive.root / self.name, "rb")
        self.read_frame(seal)

    def read_keys(self, seal, secrets):
        """Slots and segment key, from whichever copy of the key object is whole."""
        faults, name = [], f"{self.id.hex()}.keys"
        for path in (self.archive.root / "segments" / name, self.archive.root / "key-copies" / name):
            try:
                self.parse_keys(path.read_bytes(), seal, secrets)
                break
            except (Fault, OSError) as error:
                faults.append(f"{path.parent.name}/{name}: {error}")
        for text in faults:
            self.archive.fault(*text.split(": ", 1))
        need(len(faults) < 2, "both key objects are damaged: its messages cannot be opened")

    def parse_keys(self, octets, seal, secrets):
        need(sha256(octets[:-32]) == octets[-32:], "damaged")
        reader = Reader(octets[:-32], "the key object")
        reader.magic(b"SPSEGKEY", FORMAT)
        archive, segment = reader.take(16), reader.take(16)
        need((archive, segment) == (self.archive.id, self.id), "the key object of another segment")
        self.messages, self.events = reader.number(4), reader.number(4)
        _, wraps = reader.number(4), [(reader.number(4), reader.take(reader.number(2))) for _ in range(reader.number(2))]
        self.slots = [reader.take(64) for _ in range(self.messages + self.events)]
        hashes = [slot[16:48] if slot[0] == 2 else sha256(slot) for slot in self.slots]
        root = reader.take(32)
        need(reader.at == len(reader.octets), "octets behind the slots")
        need(sha256(b"sealpost slot root 1", self.id, *hashes) == root, "not the slots it was made with")
        need(not seal or root == seal[8], "not the slots that the log names")
        usable = [(number, wrap) for number, wrap in wraps if number in secrets]
        need(usable, f"wrapped to archive key {[number for number, _ in wraps]}, which is not here")
        number, wrap = usable[-1]
        self.key = hpke_open(secrets[number], "segment key", archive + segment + u32(number), wrap)

    def read_frame(self, seal):
        """Header, hash list and trailer against the log; then the directory."""
        file, size = self.file, self.file.seek(0, 2)
        need(size >= 172, "the data object is cut short")
        file.seek(0)
        header = Reader(file.read(108), "the data object")
        header.magic(b"SPSEGDAT", FORMAT)
        need((header.take(16), header.take(16), header.take(16)) == (self.archive.id, bytes(16), self.id), "another segment")
        header.take(8)
        need((header.number(4), header.number(4)) == (self.messages, self.events), "another number of units than keys")
        commitment = kdf(self.key, "segment commitment", self.archive.id, self.id)
        need(header.take(32) == commitment, "the segment key is not the one it was made with")
        file.seek(size - 64)
        trailer = file.read(64)
        at, length, hashes_at = (int.from_bytes(trailer[n : n + 8], "big") for n in (0, 8, 16))
        need(trailer[56:] == b"SPSEGEND" and at + length == hashes_at < size, "the data object's end is damaged")
        need(length <= DIRECTORY_MAX, "the directory is longer than the format allows")
        file.seek(hashes_at)
        hashes = file.read(size - 64 - hashes_at)
        root = sha256(b"sealpost data root 1", self.id, trailer[:24], hashes)
        need(root == trailer[24:56] and (not seal or root == seal[5]), "not the data object that the log names")
        file.seek(0)
        for number in range(0, len(hashes), 32):
            block = file.read(min(1 << 20, hashes_at - file.tell()))
            if sha256(block) != hashes[number : number + 32]:
                self.archive.fault(self.name, f"block {number // 32} (a mebibyte) is damaged")
        file.seek(at)
        directory = cbor(stream(kdf(self.key, "directory", self.id), self.id, file.read(length)))
        self.entries, self.event_entries = directory

    def mek(self, slot):
        """The message key in a slot; None when only a tomb is left."""
        octets = self.slots[slot]
        need(octets[1] == 1, "a slot of a newer version")
        if octets[0] == 2:
            return None
        aad = self.id + u32(slot) + b"\1"
        return gcm(kdf(self.key, "slots", self.id), bytes(4) + slot.to_bytes(8, "big"), aad, octets[16:])

    def part(self, mek, label, slot, at, length, most):
        self.file.seek(at)
        aad = self.id + u32(slot)
        return unzstd(stream(kdf(mek, label, self.id, u32(slot)), aad, self.file.read(length)), most)

    def message(self, slot, mek):
        """Octets, ACCEPT record and results of a message, all checked."""
        index, mail, _, _, _, octets, at, body, meta = self.entries[slot]
        record = cbor(self.part(mek, "meta", slot, at + body, meta, META_MAX))
        text = self.part(mek, "body", slot, at, body, min(octets, BODY_MAX))
        need(record[0] == FORMAT, "a unit of a newer version")
        accept = cbor(record[2])
        need(record[1] == index and accept[0] == mail, "the directory says otherwise than the unit")
        need(len(text) == accept[4] and sha256(text) == accept[5], "not the octets that were accepted")
        if self.archive.is_log_whole:
            blind = kdf(mek, "leaf blind", mail)
            label = b"sealpost accept leaf"
            commitment = sha256(u32(len(label)), label, u32(32), blind, u32(32), sha256(record[2]))
            need(self.archive.leaves[index] == bytes([ACCEPT, FORMAT]) + commitment, f"leaf {index} says otherwise")
        return text, accept, [cbor(result[2]) for result in record[3]]

    def events_of(self):
        """Results that came after sealing: ACCEPT index and results."""
        for number, (index, at, length) in enumerate(self.event_entries):
            slot = self.messages + number
            mek = None if self.archive.is_gone(self.id, slot) else self.mek(slot)
            if mek:
                record = cbor(self.part(mek, "meta", slot, at, length, META_MAX))
                yield index, [cbor(result[2]) for result in record[3]]


# --- what people see ---------------------------------------------------------------------------------------------------

OUTCOMES = {0: "delivered", 2: "failed", 3: "archived", 6: "dropped"}
COLUMNS = ["state", "id", "accepted", "class", "from", "recipients", "octets", "sha256", "results", "file"]


def say(text):
    print(text, file=sys.stderr)


def moment(ms):
    at = datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def results_text(results, recipients):
    """Per recipient what came of it, with the remote's words."""
    parts = []
    for recipient, at, hop, (kind, words) in results:
        said = " ".join(str(word) for word in words if isinstance(word, str))
        parts.append(f"{recipients[recipient]}: {OUTCOMES.get(kind, f'outcome {kind}')} {moment(at)} {hop} {said}".strip())
    return "; ".join(parts)


class Recovery:
    """One run over the whole archive."""

    def __init__(self, archive, options):
        self.archive, self.options, self.rows, self.late = archive, options, {}, {}

    def run(self, secrets):
        seals = [(seal[0], seal) for seal in self.archive.seals]
        if not self.archive.is_log_whole:
            say("the log is damaged: taking every segment that is there, with nothing to hold them against")
            paths = sorted(self.archive.root.glob("segments/*.data"))
            seals = [(bytes.fromhex(path.stem), None) for path in paths]
        for number, (segment, seal) in enumerate(seals):
            say(f"segment {number + 1} of {len(seals)}: {segment.hex()}")
            self.archive.attempt(f"segments/{segment.hex()}.data", lambda: self.segment(segment, seal, secrets))
        for index, results in self.late.items():
            if index in self.rows:
                self.rows[index][1].extend(results)

    def segment(self, segment, seal, secrets):
        # A segment of which nothing is left to read may be gone: its leaves say why.
        count = seal[2] + seal[3] if seal else 0
        if count and all(self.archive.is_gone(segment, slot) for slot in range(count)):
            say(f"all of it is {self.archive.is_gone(segment, 0)}")
            if not (self.archive.root / f"segments/{segment.hex()}.data").exists():
                return
        opened = Segment(self.archive, segment, seal, secrets)
        for slot in range(opened.messages):
            name = f"{opened.name} unit {slot}"
            self.archive.attempt(name, lambda slot=slot: self.unit(opened, slot))
        for index, results in opened.events_of():
            self.late.setdefault(index, []).extend(results)

    def unit(self, segment, slot):
        entry = segment.entries[slot]
        index, mail, accepted, octets = entry[0], entry[1], entry[2], entry[5]
        row = dict.fromkeys(COLUMNS, "")
        row.update(id=mail.hex(), accepted=moment(accepted), octets=octets, state="DAMAGED")
        self.rows[index] = (row, [], [])
        gone = self.archive.is_gone(segment.id, slot)
        mek = None if gone else segment.mek(slot)
        if mek is None:
            row["state"] = gone or "erased"
            return
        text, accept, results = segment.message(slot, mek)
        recipients = [recipient[0] for recipient in accept[2][1]]
        row.update({"state": "ok", "class": accept[7], "from": accept[2][0] or "<>", "recipients": " ".join(recipients)})
        row["sha256"] = accept[5].hex()
        self.rows[index] = (row, results, recipients)
        wanted = self.options.id
        if not self.options.list and (not wanted or mail.hex() in wanted):
            path = pathlib.Path(moment(accepted)[:7]) / f"{index:010}-{mail.hex()}.eml"
            row["file"] = str(path)
            target = self.options.out / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text)

    def write_listing(self, out):
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        for _, (row, results, recipients) in sorted(self.rows.items()):
            if not self.options.id or row["id"] in self.options.id:
                writer.writerow(row | {"results": results_text(results, recipients) if recipients else ""})


def export_shares(archive, out):
    """The encrypted shares as files, for officers who decrypt theirs elsewhere."""
    out.mkdir(parents=True, exist_ok=True)
    for number, generation in archive.generations.items():
        for members, officer, sealed in generation.pieces():
            group = "-".join(str(m + 1) for m in members)
            (out / f"generation-{number}-officers-{group}-officer-{officer + 1}.pgp").write_bytes(sealed)
        for at, fingerprint in enumerate(generation.officers):
            say(f"generation {number}, officer {at + 1}: {fingerprint} ({generation.threshold} needed)")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog="Step by step: docs/recovery.md")
    parser.add_argument("archive", type=pathlib.Path, help="the archive's directory (the one with the file `archive`)")
    parser.add_argument("--out", type=pathlib.Path, help="write messages and listing.csv into this new directory")
    parser.add_argument("--list", action="store_true", help="write no messages, the listing to standard output")
    parser.add_argument("--id", action="append", default=[], help="only this message (32 hexadecimal digits); may be repeated")
    parser.add_argument("--share", action="append", default=[], type=pathlib.Path, help="a decrypted share; may be repeated")
    parser.add_argument("--export-shares", type=pathlib.Path, metavar="DIR", help="write the encrypted shares as files, and end")
    parser.add_argument("--gpg", default="gpg", help="the GnuPG program (default: gpg)")
    options = parser.parse_args()
    if not (options.list or options.out or options.export_shares):
        parser.error("say --out DIR, --list or --export-shares DIR")
    if options.out and options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty")
    return options


def main():
    options = arguments()
    try:
        archive = Archive(options.archive)
        if options.export_shares:
            export_shares(archive, options.export_shares)
            return 0
        recovery = Recovery(archive, options)
        recovery.run(unlock(archive, options))
    except (Fault, OSError) as error:
        say(f"stopped: {error}")
        return 1
    if options.list:
        recovery.write_listing(sys.stdout)
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        with open(options.out / "listing.csv", "w", newline="", encoding="utf-8") as out:
            recovery.write_listing(out)
    states = [row["state"] for row, _, _ in recovery.rows.values()]
    ok = states.count("ok")
    gone = len([state for state in states if state.startswith(("erased", "expired"))])
    say(f"{ok} messages whole, {gone} erased or expired, {len(states) - ok - gone} damaged; {len(archive.faults)} faults")
    for name, text in archive.faults:
        say(f"  {name}: {text}")
    return 1 if archive.faults else 0


if __name__ == "__main__":
    sys.exit(main())
