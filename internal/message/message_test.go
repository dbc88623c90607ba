package message

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

// examples gives the examples of the format whose names begin with prefix, as
// bytes, or as text where they are quoted.
func examples(t testing.TB, prefix string) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/format/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(page)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if !ok || !strings.HasPrefix(name, prefix) {
			continue
		}
		text, err := strconv.Unquote(value)
		if err != nil {
			b, err := hex.DecodeString(value)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			text = string(b)
		}
		found[name] = text
	}
	if len(found) == 0 {
		t.Fatalf("there are no examples %s", prefix)
	}
	return found
}

// TestFrames: every frame is read, and nothing that is not exactly one.
func TestFrames(t *testing.T) {
	seen := map[Type]bool{}
	for name, raw := range examples(t, "member.frame_") {
		f, err := Parse([]byte(raw))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		seen[f.frame()] = true
		for what, bad := range map[string][]byte{
			"trailing byte": append([]byte(raw), 0), "cut": []byte(raw[:len(raw)-1]),
			"another type":     append([]byte{raw[0], raw[1] ^ 3}, raw[2:]...),
			"long type":        append([]byte{raw[0], 0x18, raw[1]}, raw[2:]...),
			"one more":         append(append([]byte{raw[0] + 1}, raw[1:]...), 0),
			"indefinite array": append(append([]byte{0x9f}, raw[1:]...), 0xff),
		} {
			if f, err := Parse(bad); err == nil {
				t.Errorf("%s, %s: parsed as %+v", name, what, f)
			}
		}
	}
	if len(seen) != 11 {
		t.Errorf("examples of %d frames, want 11", len(seen))
	}
	if _, err := Parse(make([]byte, MaxFrame+1)); err == nil {
		t.Error("a frame over the limit was parsed")
	}
	largest, err := Bytes(&Delivery{Position: 1 << 63, Received: 1 << 62, Object: make([]byte, 2<<10), Payload: make([]byte, contract.MaxPayload)})
	if err != nil || len(largest) > MaxFrame {
		t.Errorf("the largest payload makes a frame of %d bytes, at most %d: %v", len(largest), MaxFrame, err)
	}
}

func TestHello(t *testing.T) {
	hello := examples(t, "member.hello")["member.hello"]
	h, key, err := ParseHello(hello)
	if err != nil || h.Member != "lamp" || len(key) != 32 || h.Code == "" {
		t.Fatalf("%+v by %x, %v", h, key, err)
	}
	for what, bad := range map[string]string{
		"empty": "", "another scheme": strings.Replace(hello, Scheme, "Basic", 1), "cut": hello[:len(hello)-4],
		"padding": hello + "=", "a change": hello[:200] + "A" + hello[201:], "long": hello + strings.Repeat("A", maxHello),
		"lower case": strings.ToLower(hello[:1]) + hello[1:], "two spaces": strings.Replace(hello, " ", "  ", 1),
	} {
		if got, _, err := ParseHello(bad); err == nil {
			t.Errorf("%s: parsed as %+v", what, got)
		}
	}
}

func TestInvite(t *testing.T) {
	text := examples(t, "member.invite")["member.invite"]
	i, err := ParseInvite(" " + text + "\n")
	if err != nil || i.String() != text {
		t.Fatalf("%+v, %v", i, err)
	}
	zone, pin := "zone="+i.Zone.String(), strings.Split(text, "&")[2]
	for what, bad := range map[string]string{
		"empty": "", "another scheme": "https" + strings.TrimPrefix(text, "bellwether"), "no zone": strings.Replace(text, zone, "", 1),
		"no pin": strings.Replace(text, "&"+pin, "", 1), "no port": strings.Replace(text, ":7300", "", 1),
		"more": text + "&x=1", "code of other letters": text + "A", "path": strings.Replace(text, "/?", "/x?", 1),
		"twice": text + "&" + pin, "user": strings.Replace(text, "://", "://u@", 1), "long": text + strings.Repeat("a", 1024),
		"upper case": strings.Replace(text, zone, strings.ToUpper(zone), 1),
	} {
		if got, err := ParseInvite(bad); err == nil {
			t.Errorf("%s: parsed as %+v", what, got)
		}
	}
}

func TestIdentity(t *testing.T) {
	text := examples(t, "member.identity")["member.identity"]
	if i, err := ParseIdentity(text + "\n"); err != nil || i.String() != text {
		t.Fatalf("%+v, %v", i, err)
	}
	for _, bad := range []string{"", "lamp", "lamp.", text + "A", text[:len(text)-1], "." + text, "Lamp" + text[4:], "master" + text[4:], text[4:], text + "="} {
		if got, err := ParseIdentity(bad); err == nil {
			t.Errorf("%q: parsed as %+v", bad, got)
		}
	}
}

func TestChallenge(t *testing.T) {
	text := examples(t, "member.challenge")["member.challenge"]
	if nonce, err := ParseChallenge(text); err != nil || Challenge(nonce) != text {
		t.Fatalf("%x, %v", nonce, err)
	}
	for _, bad := range []string{"", `Basic realm="x"`, text[:len(text)-1], text + `, x="y"`, strings.Replace(text, "nonce", "NONCE", 1), `Bellwether nonce="AA"`} {
		if got, err := ParseChallenge(bad); err == nil {
			t.Errorf("%q: parsed as %x", bad, got)
		}
	}
}

// TestBounds: the largest contents make the largest payload, and no more is taken.
func TestBounds(t *testing.T) {
	key := sealKey(t)
	public := [32]byte(key.PublicKey().Bytes())
	sealed, err := Seal(public, Envelope{}, make([]byte, MaxSealed))
	if err != nil || len(sealed) != contract.MaxPayload {
		t.Errorf("sealed: %d bytes, %v, want %d", len(sealed), err, contract.MaxPayload)
	}
	clear, err := Salted(make([]byte, MaxContent))
	if err != nil || len(clear) != contract.MaxPayload {
		t.Errorf("in the clear: %d bytes, %v, want %d", len(clear), err, contract.MaxPayload)
	}
	if _, err := Seal(public, Envelope{}, make([]byte, MaxSealed+1)); err == nil {
		t.Error("more was sealed")
	}
	if _, err := Salted(make([]byte, MaxContent+1)); err == nil {
		t.Error("more was salted")
	}
	if _, err := Seal([32]byte{}, Envelope{}, nil); err == nil {
		t.Error("sealed to the key of zeros, which gives everyone the same secret")
	}
	if a, _ := Salted([]byte("x")); a != nil {
		if b, _ := Salted([]byte("x")); bytes.Equal(a, b) {
			t.Error("two payloads of one content are the same")
		}
	}
}

func sealKey(t testing.TB) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.X25519().NewPrivateKey([]byte(examples(t, "member.seal_private")["member.seal_private"]))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func FuzzParse(f *testing.F) {
	for _, raw := range examples(f, "member.frame_") {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := Parse(raw)
		if (frame == nil) == (err == nil) {
			t.Fatalf("%+v, %v", frame, err)
		}
		if err != nil {
			return
		}
		if again, err := Bytes(frame); err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("encoded again it is %x, %v", again, err)
		}
	})
}

func FuzzParseHello(f *testing.F) {
	f.Add(examples(f, "member.hello")["member.hello"])
	f.Add(Scheme + " ")
	f.Fuzz(func(t *testing.T, value string) {
		h, key, err := ParseHello(value)
		if (h == nil) == (err == nil) || (key == nil) == (err == nil) {
			t.Fatalf("%+v, %x, %v", h, key, err)
		}
	})
}

func FuzzParseInvite(f *testing.F) {
	f.Add(examples(f, "member.invite")["member.invite"])
	f.Add("bellwether://[2001:db8::1]:1/?zone=&master=&pin=")
	f.Fuzz(func(t *testing.T, text string) {
		if i, err := ParseInvite(text); err == nil && i.String() != strings.TrimSpace(text) {
			t.Fatalf("%q is read as %q", text, i)
		}
	})
}

func FuzzParseIdentity(f *testing.F) {
	f.Add(examples(f, "member.identity")["member.identity"])
	f.Add("0.000000000000000000000000000000000000000\n0000")
	f.Fuzz(func(t *testing.T, text string) {
		if i, err := ParseIdentity(text); err == nil && i.String() != strings.TrimSpace(text) {
			t.Fatalf("%q is read as %q", text, i)
		}
	})
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(examples(f, "member.challenge")["member.challenge"])
	f.Add("Bellwether nonce=\"000\r0000000000000000000000000000000000000000\"")
	f.Fuzz(func(t *testing.T, text string) {
		if nonce, err := ParseChallenge(text); err == nil && Challenge(nonce) != text {
			t.Fatalf("%q is read as %x", text, nonce)
		}
	})
}

func FuzzUnseal(f *testing.F) {
	f.Add([]byte(examples(f, "member.sealed")["member.sealed"]), "switch", uint64(3))
	key := sealKey(f)
	group := zone.Hash([]byte(examples(f, "group_id")["group_id"]))
	f.Fuzz(func(t *testing.T, payload []byte, from string, n uint64) {
		e := Envelope{Zone: group, From: zone.MemberID(from), To: "lamp", N: n}
		content, err := Unseal(key, e, payload)
		if err == nil && !slices.Equal(content, []byte("on")) {
			t.Fatalf("%x by %q for %d is read as %q: a forgery", payload, from, n, content)
		}
	})
}
