package cose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"slices"
	"testing"

	reference "github.com/veraison/go-cose"
)

const external = "bellwether/test/1\x00"

func testKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

func signed(t testing.TB, payload string) []byte {
	t.Helper()
	raw, err := Sign(testKey(), external, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestReference: another implementation of RFC 9052 takes what Sign gives, and
// Parse takes what that one gives.
func TestReference(t *testing.T) {
	for _, payload := range []string{"", "hello", string(make([]byte, 70_000))} {
		raw := signed(t, payload)
		var m reference.Sign1Message
		if err := m.UnmarshalCBOR(raw); err != nil {
			t.Fatalf("the other one does not read it: %v", err)
		}
		verifier, err := reference.NewVerifier(reference.AlgorithmEdDSA, testKey().Public())
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Verify([]byte(external), verifier); err != nil {
			t.Errorf("%d bytes: the other one does not verify it: %v", len(payload), err)
		}
		if err := m.Verify([]byte("bellwether/other/1\x00"), verifier); err == nil {
			t.Error("the other one verifies it for another use")
		}
		signer, err := reference.NewSigner(reference.AlgorithmEdDSA, testKey())
		if err != nil {
			t.Fatal(err)
		}
		theirs := reference.Sign1Message{Payload: []byte(payload), Headers: reference.Headers{Protected: reference.ProtectedHeader{
			reference.HeaderLabelAlgorithm: reference.AlgorithmEdDSA, reference.HeaderLabelKeyID: []byte(testKey().Public().(ed25519.PublicKey))}}}
		if err := theirs.Sign(rand.Reader, []byte(external), signer); err != nil {
			t.Fatal(err)
		}
		b, err := theirs.MarshalCBOR()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, raw) {
			t.Errorf("the other one writes %.80x…, this one %.80x…", b, raw)
		}
	}
}

func TestVerify(t *testing.T) {
	raw := signed(t, "hello")
	o, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if string(o.Payload) != "hello" || !o.Key.Equal(testKey().Public()) {
		t.Errorf("parsed %+v", o)
	}
	if err := o.Verify(external); err != nil {
		t.Error(err)
	}
	if err := o.Verify("bellwether/other/1\x00"); err == nil {
		t.Error("a signature counts as one of another kind")
	}
	for i := range raw { // no byte may change
		for _, bit := range []byte{1, 0x80} {
			bad := bytes.Clone(raw)
			bad[i] ^= bit
			if o, err := Parse(bad); err == nil && o.Verify(external) == nil {
				t.Errorf("byte %d changed, and it still holds", i)
			}
		}
	}
}

// TestParse: what says the same in other bytes is refused.
func TestParse(t *testing.T) {
	raw := signed(t, "hello")
	body := raw[1:] // without the tag
	at := bytes.Index(raw, []byte("\xa0\x45hello"))
	for name, bad := range map[string][]byte{
		"empty":               {},
		"no tag":              body,
		"tag 98":              append([]byte{0xd8, 98}, body...),
		"long tag":            append([]byte{0xd8, 18}, body...),
		"trailing byte":       append(bytes.Clone(raw), 0),
		"cut":                 raw[:len(raw)-1],
		"long length":         slices.Concat(raw[:at+1], []byte("\x58\x05hello"), raw[at+7:]),
		"unprotected header":  slices.Concat(raw[:at], []byte("\xa1\x01\x27\x45hello"), raw[at+7:]),
		"detached payload":    slices.Concat(raw[:at+1], []byte{0xf6}, raw[at+7:]),
		"text payload":        slices.Concat(raw[:at+1], []byte("\x65hello"), raw[at+7:]),
		"header order":        bytes.Replace(raw, []byte{0xa2, 0x01, 0x27, 0x04}, []byte{0xa2, 0x04, 0x27, 0x01}, 1),
		"algorithm ES256":     bytes.Replace(raw, []byte{0xa2, 0x01, 0x27}, []byte{0xa2, 0x01, 0x26}, 1),
		"indefinite array":    slices.Concat([]byte{tag, 0x9f}, raw[2:], []byte{0xff}),
		"deep":                append([]byte{tag}, bytes.Repeat([]byte{0x81}, 1000)...),
		"signature of 63":     slices.Concat(raw[:len(raw)-65], []byte{63}, raw[len(raw)-64:len(raw)-1]),
		"two tags":            append([]byte{tag}, raw...),
		"key of another size": bytes.Replace(raw, []byte{0x04, 0x58, 0x20}, []byte{0x04, 0x58, 0x1f}, 1),
	} {
		if o, err := Parse(bad); err == nil {
			t.Errorf("%s: parsed as %+v", name, o)
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(other, external, nil); err == nil {
		t.Error("signed with a key that is not Ed25519")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(signed(f, ""))
	f.Add(signed(f, "hello"))
	f.Add([]byte{tag, 0x84, 0x40, 0xa0, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := Parse(raw)
		if (o == nil) == (err == nil) {
			t.Fatalf("%+v, %v", o, err)
		}
		if err != nil {
			return
		}
		o.Verify(external)
		again, err := o.bytes()
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("encoded again it is %x, %v", again, err)
		}
		var m reference.Sign1Message
		if err := m.UnmarshalCBOR(raw); err != nil {
			t.Fatalf("another implementation does not read it: %v", err)
		}
	})
}
