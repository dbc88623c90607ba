package canonical

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

// letter has everything that the program's own types are made of.
type letter struct {
	Number uint64            `cbor:"1,keyasint"`
	Signed int64             `cbor:"2,keyasint"`
	Text   string            `cbor:"3,keyasint"`
	Bytes  []byte            `cbor:"4,keyasint"`
	Hash   [4]byte           `cbor:"5,keyasint"`
	List   []pair            `cbor:"6,keyasint"`
	Named  map[string]uint64 `cbor:"7,keyasint"`
	Maybe  *pair             `cbor:"8,keyasint,omitempty"`
	Score  float64           `cbor:"name"`
	Inner  Raw               `cbor:"10,keyasint"`
}

type pair struct {
	_    struct{} `cbor:",toarray"`
	A, B uint8
}

func full() letter {
	return letter{1, -2, "three", []byte{4}, [4]byte{5}, []pair{{A: 6, B: 6}}, map[string]uint64{"z": 7, "aa": 7, "a": 7}, &pair{A: 8}, 1.5, Raw{0x82, 1, 2}}
}

// bounds are just enough for a full letter.
var bounds = Bounds{Nesting: 4, Pairs: 16, Elements: 16}.Decoder()

// written is a full letter, by hand from RFC 8949: keys in the order of their
// bytes, the shortest length of everything, 1.5 as half a float.
const written = "aa" + "0101" + "0221" + "03657468726565" + "044104" + "054405000000" + "0681820606" + "07a3616107617a0762616107" + "08820800" + "0a820102" + "646e616d65f93e00"

func TestMarshal(t *testing.T) {
	raw, err := Marshal(full())
	if err != nil || hex.EncodeToString(raw) != written {
		t.Errorf("a letter is\n%x (%v), want\n%s", raw, err, written)
	}
	if !bytes.Equal(MustMarshal(full()), raw) {
		t.Error("MustMarshal gives other bytes")
	}
	var back letter
	if err := bounds.Parse(raw, &back); err != nil || !reflect.DeepEqual(back, full()) {
		t.Errorf("read again it is %+v (%v), want %+v", back, err, full())
	}
	clear(raw)
	if !reflect.DeepEqual(back, full()) {
		t.Errorf("it shares memory with what was parsed: %+v", back)
	}
}

// TestNil: what is nil is empty, or null where that is asked for.
func TestNil(t *testing.T) {
	v := struct {
		_ struct{} `cbor:",toarray"`
		B []byte
		L []pair
		M map[string]int
	}{}
	for want, marshal := range map[string]func(any) ([]byte, error){"8340" + "80" + "a0": Marshal, "83f6f6f6": MarshalNull} {
		if raw, err := marshal(v); err != nil || hex.EncodeToString(raw) != want {
			t.Errorf("nil is %x (%v), want %s", raw, err, want)
		}
	}
}

func TestMustMarshal(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("what has no encoding was encoded")
		}
	}()
	MustMarshal(make(chan int))
}

// TestParse: what says the same in other bytes is refused by Parse, and what is no
// CBOR of this kind by Unmarshal too.
func TestParse(t *testing.T) {
	change := func(old, new string) string {
		t.Helper()
		if strings.Count(written, old) != 1 {
			t.Fatalf("%s is not once in %s", old, written)
		}
		return strings.Replace(written, old, new, 1)
	}
	for _, tt := range []struct {
		name, hex string
		form      bool // Unmarshal takes it
	}{
		{"a number in two bytes", change("aa0101", "aa011801"), true},
		{"a length in two bytes", change("03657468726565", "0378057468726565"), true},
		{"a float of 64 bits", change("f93e00", "fb3ff8000000000000"), true},
		{"keys in another order", change("01010221", "02210101"), true},
		{"null for bytes", change("044104", "04f6"), true},
		{"null for a list", change("0681820606", "06f6"), true},
		{"null for what may be left out", change("08820800", "08f6"), true},
		{"a key left out", change("aa0101", "a9"), true},
		{"a key twice", change("aa0101", "ab01010101"), false},
		{"a key in a map twice", change("617a07", "616107"), false},
		{"an unknown key", change("aa0101", "ab01010900"), false},
		{"a name in capitals", change("646e616d65", "644e616d65"), false},
		{"a list that ends with a break", change("0681820606", "069f820606ff"), false},
		{"a tag", change("aa0101", "aa01c101"), false},
		{"bytes over", written + "00", false},
		{"cut", written[:len(written)-2], false},
		{"empty", "", false},
		{"no UTF-8", change("7468726565", "74687265ff"), false},
		{"text for bytes", change("044104", "046104"), false},
		{"too large for its field", change("820606", "82190100"+"06"), false},
		{"another number of elements", change("820606", "83060606"), false},
	} {
		raw, err := hex.DecodeString(tt.hex)
		if err != nil {
			t.Fatal(err)
		}
		if err := bounds.Parse(raw, new(letter)); err == nil {
			t.Errorf("%s: %x was parsed", tt.name, raw)
		}
		if err := bounds.Unmarshal(raw, new(letter)); (err == nil) != tt.form {
			t.Errorf("%s: %x is decoded with %v", tt.name, raw, err)
		}
	}
}

func TestBounds(t *testing.T) {
	for name, v := range map[string]any{
		"elements": make([]uint8, 17),
		"pairs":    map[int]int{0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 0, 9: 0, 10: 0, 11: 0, 12: 0, 13: 0, 14: 0, 15: 0, 16: 0},
		"nesting":  [][][][][]int{{{{{}}}}},
	} {
		if s, ok := v.([]uint8); ok { // as a list, not as a byte string
			v = make([]int, len(s))
		}
		raw := MustMarshal(v)
		to := fresh(v)
		if err := bounds.Unmarshal(raw, to); err == nil {
			t.Errorf("%s: %x is within %+v", name, raw, bounds)
		}
		if err := Unmarshal(raw, to); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a decoder for nothing was made")
		}
	}()
	Bounds{Nesting: -1}.Decoder()
}

// FuzzParse: nothing makes it panic, and what it takes is what Marshal gives. What
// only decodes is, once written anew, canonical.
func FuzzParse(f *testing.F) {
	for _, s := range []string{written, "a0", "f6", "80", "9f01ff", "c100", "fb7ff0000000000001", strings.Repeat("81", 100)} {
		raw, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, of := range []any{letter{}, pair{}, []pair{}, Raw{}, map[string]uint64{}} {
			v, w, again := fresh(of), fresh(of), fresh(of)
			parsed, decoded := bounds.Parse(raw, v), bounds.Unmarshal(raw, w)
			if parsed == nil && (decoded != nil || !bytes.Equal(MustMarshal(v), raw)) {
				t.Errorf("%x is taken as %+v, which is %x (%v)", raw, v, MustMarshal(v), decoded)
			}
			if decoded == nil {
				if err := bounds.Parse(MustMarshal(w), again); err != nil {
					t.Errorf("%x is written anew as %x: %v", raw, MustMarshal(w), err)
				}
			}
		}
	})
}

func fresh(v any) any { return reflect.New(reflect.TypeOf(v)).Interface() }
