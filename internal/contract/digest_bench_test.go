package contract

import (
	"fmt"
	"testing"

	"bellwether/internal/zone"
)

// BenchmarkDigest is what each block of a zone with 2,000 members costs.
func BenchmarkDigest(b *testing.B) {
	s := &World{}
	for i := range 2000 {
		m := MemberState{Member: zone.MemberID(fmt.Sprintf("member-%04d", i)), Key: [32]byte{byte(i), byte(i >> 8)}, N: 1000, Role: "device", Newest: zone.HID{1}, Seal: [32]byte{1}}
		if err := write(s, memberKey(m.Member), m); err != nil {
			b.Fatal(err)
		}
		if err := write(s, keyKey(m.Key), m.Member); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := Digest(s); err != nil {
			b.Fatal(err)
		}
	}
}
