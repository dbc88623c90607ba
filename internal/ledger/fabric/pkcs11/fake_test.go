package pkcs11

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// fakeMode makes this test program a signing program with a known key, and says
// what is wrong with it.
const fakeMode = "BELLWETHER_FAKE_SIGNER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(fakeMode); mode != "" && len(os.Args) == 1 {
		fake(mode)
		return
	}
	os.Exit(m.Run())
}

// fakeKey is the P-256 key of the fake, made from a number.
func fakeKey() *ecdsa.PrivateKey {
	seed := sha256.Sum256([]byte("fake"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		panic(err)
	}
	return key
}

// fake answers as the real program does. Its signatures have the larger s.
func fake(mode string) {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Buffer(nil, maxLine)
	in.Scan()
	out.Encode(answer{Protocol: protocol, Mechanism: mechanismECDSA})
	for n := 0; in.Scan(); n++ {
		var q request
		json.Unmarshal(in.Bytes(), &q)
		a := answer{ID: q.ID}
		switch { // the first signature is the one that shows whose key it is
		case mode == "mute" && n > 0:
			continue
		case mode == "gone" && n > 0:
			a.Error, a.Code = "CKR_DEVICE_REMOVED", codeGone
		case mode == "refuses" && n > 0:
			a.Error = "CKR_DATA_LEN_RANGE"
		case mode == "long" && n > 0:
			a.Error = strings.Repeat("x", maxLine)
		case mode == "short":
			a.Signature = make([]byte, 10)
		default:
			a.Signature = highS(q.Sign)
		}
		out.Encode(a)
	}
}

func highS(digest []byte) []byte {
	der, err := fakeKey().Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		panic(err)
	}
	var v struct{ R, S *big.Int }
	asn1.Unmarshal(der, &v)
	if order := elliptic.P256().Params().N; v.S.Cmp(new(big.Int).Rsh(order, 1)) <= 0 {
		v.S.Sub(order, v.S)
	}
	return append(v.R.FillBytes(make([]byte, 32)), v.S.FillBytes(make([]byte, 32))...)
}

func openFake(t *testing.T, mode string) (*Key, error) {
	t.Helper()
	t.Setenv(fakeMode, mode)
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k, err := Open(Options{Program: own, Public: fakeKey().Public(), wait: 10 * time.Second})
	if err == nil {
		t.Cleanup(func() { k.Close() })
	}
	return k, err
}

// TestSmallerS: a token's signature with the larger s holds, and Fabric refuses it.
func TestSmallerS(t *testing.T) {
	k, err := openFake(t, "good")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		d := data(fakeKey().Public(), n)
		if s, err := k.Sign(d); err != nil || !holds(fakeKey().Public(), d, s) || !lowS(t, fakeKey().Public(), s) {
			t.Errorf("%x, %v", s, err)
		}
	}
}

// TestFaults: what goes wrong with one signature is for the moment or for good.
func TestFaults(t *testing.T) {
	for mode, tt := range map[string]struct {
		away bool
		says string
	}{
		"gone":    {true, "CKR_DEVICE_REMOVED"},
		"refuses": {false, "CKR_DATA_LEN_RANGE"},
		"long":    {true, "token too long"},
	} {
		t.Run(mode, func(t *testing.T) {
			k, err := openFake(t, mode)
			if err != nil {
				t.Fatal(err)
			}
			before := k.pid()
			_, err = k.Sign(data(fakeKey().Public(), 1))
			if err == nil || errors.Is(err, ErrAway) != tt.away || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
			if again := k.pid() != before; again != tt.away {
				t.Errorf("started again: %v", again)
			}
		})
	}
	if _, err := openFake(t, "short"); err == nil || !strings.Contains(err.Error(), "10 bytes: want 64") {
		t.Errorf("with a signature that is too short: %v", err)
	}
}

// TestMute: a program that hangs is not waited for without end.
func TestMute(t *testing.T) {
	k, err := openFake(t, "mute")
	if err != nil {
		t.Fatal(err)
	}
	k.program.wait, k.o.wait = 50*time.Millisecond, 10*time.Second
	if _, err := k.once(make([]byte, 32)); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "did not answer for 50ms") {
		t.Errorf("got %v", err)
	}
	if k.program.over() == nil {
		t.Error("the process is still there")
	}
}

func TestParse(t *testing.T) {
	slot := uint32(7)
	for text, want := range map[string]URI{
		"pkcs11:token=a%20b;object=k?module-path=/m.so&pin-source=file:/p": {Module: "/m.so", Token: "a b", Object: "k", PINFile: "/p"},
		"pkcs11:id=%00%ff;slot-id=7?module-path=/m.so":                     {Module: "/m.so", ID: []byte{0, 0xff}, Slot: &slot},
		"pkcs11:object=k;type=private;serial=1;model=m;manufacturer=Yubico%20%28www.yubico.com%29?pin-source=file:///p&module-path=/m.so": {
			Module: "/m.so", Object: "k", Serial: "1", Model: "m", Manufacturer: "Yubico (www.yubico.com)", PINFile: "/p"},
		"pkcs11:object=k=3?module-path=/m.so&pin-source=/p": {Module: "/m.so", Object: "k=3", PINFile: "/p"},
	} {
		got, err := Parse(text)
		if err != nil || fmt.Sprintf("%+v", flat(got)) != fmt.Sprintf("%+v", flat(want)) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"file:/key":                        "want a URI like pkcs11:",
		"pkcs11:":                          "module-path is missing",
		"pkcs11:token=a?module-path=/m.so": "neither object= nor id=",
		"pkcs11:object=k?module-path=m.so": "module-path is not an absolute path",
		"pkcs11:object=k?module-path=/m.so&pin-source=pin":                         "pin-source is not an absolute path",
		"pkcs11:object=k?module-path=/m.so&pin-source=%7Ccat%20/p":                 "pin-source is not an absolute path",
		"pkcs11:object=k?module-path=/m.so&pin-value=123456":                       "pin-value puts the PIN where others can read it",
		"pkcs11:object=k?module-name=softhsm2":                                     "give module-path=/PATH",
		"pkcs11:object=k;object=l?module-path=/m.so":                               "object is there twice",
		"pkcs11:object=%zz?module-path=/m.so":                                      "object: a % is not followed by",
		"pkcs11:object=k;type=cert?module-path=/m.so":                              "type is not private",
		"pkcs11:object=k;slot-id=x?module-path=/m.so":                              "slot-id is not a number",
		"pkcs11:object=k;library-version=1?module-path=/m.so":                      "library-version is not an attribute",
		"pkcs11:object=k;123456=1?module-path=/m.so":                               "an attribute is not known",
		"pkcs11:object=k;x?module-path=/m.so":                                      "not NAME=VALUE",
		"pkcs11:object=a%00?module-path=/m.so":                                     "object holds a zero byte",
		"pkcs11:object=" + strings.Repeat("k", maxURI) + "?module-path=/m.so":      "at most 4096",
		"pkcs11:object=k?module-path=/m.so&pin-source=file:/p&pin-value=123456;x=": "pin-value",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "123456") {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

// flat takes a URI's pointer away, to be printed.
func flat(u URI) any {
	slot := int64(-1)
	if u.Slot != nil {
		slot = int64(*u.Slot)
	}
	u.Slot = nil
	return []any{u, slot}
}

func FuzzParse(f *testing.F) {
	f.Add("pkcs11:token=a%20b;object=k?module-path=/m.so&pin-source=file:/p")
	f.Add("pkcs11:id=%00%ff;slot-id=7?module-path=/m.so")
	f.Add("pkcs11:object=k?module-path=/m.so&pin-value=secretsecret")
	f.Add("pkcs11:serial=1;model=m;manufacturer=Yubico;type=private;object=;id=?module-path=//&pin-source=file:////")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := Parse(text)
		if (err == nil) != (u.Module != "") {
			t.Errorf("%+v, %v", u, err)
		}
		if err != nil && strings.Contains(err.Error(), "secretsecret") {
			t.Errorf("a PIN is in %v", err)
		}
		if err == nil && (!strings.HasPrefix(u.Module, "/") || u.Object == "" && len(u.ID) == 0) {
			t.Errorf("%q was taken: %+v", text, u)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"id":0,"protocol":"bellwether/pkcs11/1","mechanism":"EDDSA","params":"BgMrZXA=","point":"AA=="}` + "\n" + `{"id":1,"signature":"AAAA"}`))
	f.Add([]byte(`{"id":3,"error":"x","code":"gone"}` + "\nhello\n"))
	f.Add([]byte("\n{}\r\n[]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := answers(bytes.NewReader(b), func(answer) { n++ })
		if lines := bytes.Count(b, []byte("\n")) + 1; n > lines || err == nil && len(bytes.TrimSpace(b)) > 0 && n == 0 {
			t.Errorf("%d answers of %d lines, %v", n, lines, err)
		}
	})
}

func FuzzPublicKey(f *testing.F) {
	octet := func(b []byte) []byte { return append([]byte{4, byte(len(b))}, b...) }
	point, err := fakeKey().PublicKey.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	edwards := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	p256 := []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	f.Add(p256, octet(point))
	f.Add(p256, point)
	f.Add([]byte{0x06, 0x03, 0x2b, 0x65, 0x70}, []byte(edwards))
	f.Add(append([]byte{0x13, 12}, "edwards25519"...), octet(edwards))
	f.Add([]byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, octet(point))
	f.Fuzz(func(t *testing.T, params, point []byte) {
		key, err := publicKey(params, point)
		if (err == nil) != (key != nil) {
			t.Errorf("%v, %v", key, err)
		}
		if err == nil && !same(key, key) {
			t.Errorf("%v is not itself", key)
		}
	})
}

// TestPublicKey: both ways of modules to give a point are read.
func TestPublicKey(t *testing.T) {
	edwards := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	for _, point := range [][]byte{edwards, append([]byte{4, 32}, edwards...)} {
		for _, params := range [][]byte{{0x06, 0x03, 0x2b, 0x65, 0x70}, append([]byte{0x13, 12}, "edwards25519"...)} {
			if key, err := publicKey(params, point); err != nil || !same(key, edwards) {
				t.Errorf("%x, %x: %v, %v", params, point, key, err)
			}
		}
	}
	raw, err := fakeKey().PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p256 := []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	for _, point := range [][]byte{raw, append([]byte{4, 65}, raw...)} {
		if key, err := publicKey(p256, point); err != nil || !same(key, fakeKey().Public()) {
			t.Errorf("%x: %v, %v", point, key, err)
		}
	}
}
