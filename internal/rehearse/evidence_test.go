package rehearse

import (
	"reflect"
	"slices"
	"testing"

	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// TestCompare: a scan is found by plain evidence alone too, and says so; what all
// the evidence comes to is what the report says without a comparison.
func TestCompare(t *testing.T) {
	h := simulated(t)
	cam := h.device(t, "webcam")
	r := run(t, Rehearsal{Benign: []string{h.path}, Devices: []zone.MAC{cam.MAC}, Attacks: []string{simulate.MiraiScan, simulate.Beacon}, Times: 1, Config: quick(), Compare: true})
	if len(r.Evidence) != 3 {
		t.Fatalf("%d kinds of evidence", len(r.Evidence))
	}
	all, alone, counts := r.Evidence[0], r.Evidence[1], r.Evidence[2]
	for i, a := range r.Attacks {
		if all.Attacks[i].Name != a.Name || !reflect.DeepEqual(all.Attacks[i].Count, a.Count) {
			t.Errorf("%s: %+v with all the evidence, %+v in the report", a.Name, all.Attacks[i], a.Count)
		}
	}
	if all.FalseAlarms != r.FalseAlarms() || len(all.Without) != 0 {
		t.Errorf("%+v", all)
	}
	if counts.Loud.Found != 1 || counts.Loud.Trials != 1 || counts.Quiet.Trials != 1 || !slices.Equal(counts.Without, []string{zone.ReasonScore}) {
		t.Errorf("%+v", counts)
	}
	if slices.Contains(alone.Without, zone.ReasonScore) || !slices.Contains(alone.Without, zone.ReasonHosts) || alone.Loud.Trials != 1 {
		t.Errorf("%+v", alone)
	}
	if all.Loud.Seconds > counts.Loud.Seconds {
		t.Errorf("found after %v s, and by a part of the evidence after %v s", all.Loud.Seconds, counts.Loud.Seconds)
	}
}
