package proof

import (
	"errors"
	"strings"
	"testing"

	"bellwether/internal/identity"
	"bellwether/internal/ledger"
	"bellwether/internal/zone"
)

func TestVerify(t *testing.T) {
	w := testWorld(t)
	if n := len(w.score.Segments); n < 2 {
		t.Fatalf("the evidence lies in %d segments: want at least two", n)
	}
	if n := len(w.source.Segments[0].Rows); n != 1 {
		t.Fatalf("the source's evidence is %d rows", n)
	}
	for _, b := range w.bundles() {
		again, err := Read(strings.NewReader(string(marshal(t, b))))
		if err != nil {
			t.Fatal(err)
		}
		steps, err := Verify(again, master(), nil)
		want := 8
		if b == w.score {
			want = 9 // and its network policy
		}
		if err != nil || len(steps) != want {
			t.Fatalf("%s: %v after %+v", b.Alert.Reason, err, steps)
		}
		for _, s := range steps {
			if s.Warning || s.Name == "" || s.Says == "" {
				t.Errorf("%s: step %+v", b.Alert.Reason, s)
			}
		}
	}
}

// TestPolicyThatIsNotThere: without the file, what lies outside is told to be the
// gateway's word; one that the alert does not speak of is refused.
func TestPolicyThatIsNotThere(t *testing.T) {
	w := testWorld(t)
	b := copyOf(t, w.score)
	b.Policy = nil
	steps, err := Verify(b, master(), nil)
	if err != nil || len(steps) != 9 || !steps[7].Warning || !strings.Contains(steps[7].Says, "the gateway's word") {
		t.Errorf("%v after %+v", err, steps)
	}
	b.Alert.Network.Evidence.Outside++
	checkRefused(t, b, "alert.name, alert.text, alert.features or alert.network_policy")
	other := copyOf(t, w.scan)
	other.Policy = w.score.Policy
	checkRefused(t, other, "policy")
}

func TestAnchor(t *testing.T) {
	b := testWorld(t).score
	steps, err := Verify(b, nil, nil)
	if err != nil || !steps[0].Warning {
		t.Errorf("without an anchor: %v, %+v: want a warning", err, steps)
	}
	steps, err = Verify(b, publicKey(2), nil)
	var f *FieldError
	if !errors.As(err, &f) || f.Field != "anchor" || len(steps) != 0 {
		t.Errorf("with another anchor: %v after %+v", err, steps)
	}
	for _, to := range []struct {
		name string
		by   byte
	}{{"bellwether/" + zone.Hash{1}.String(), 1}, {ledger.Origin(b.Alert.Zone), 2}} {
		changed := copyOf(t, b)
		if changed.Anchor, err = identity.Anchor(to.name, publicKey(to.by)); err != nil {
			t.Fatal(err)
		}
		checkRefused(t, changed, "anchor")
	}
}

// checkRefused checks that a bundle does not verify, for the field given.
func checkRefused(t *testing.T, b *Bundle, field string) {
	t.Helper()
	_, err := Verify(b, master(), nil)
	var f *FieldError
	if !errors.As(err, &f) || f.Field != field {
		t.Errorf("got %v, want an error that names %s", err, field)
	}
}
