package rehearse

import (
	"context"
	"testing"

	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

func TestRows(t *testing.T) {
	h := simulated(t)
	cam, tv := h.device(t, "webcam"), h.device(t, "smart TV")
	keep := t.TempDir()
	r := Rehearsal{Benign: []string{h.path}, Devices: []zone.MAC{tv.MAC, cam.MAC}, Attacks: []string{simulate.MiraiSYN, simulate.Beacon}, Times: 1, Config: quick(), Keep: keep, Dir: t.TempDir()}
	var sets []RowSet
	err := r.Rows(context.Background(), func(set RowSet) error {
		sets = append(sets, set)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sets) != 2*(2+2) {
		t.Fatalf("%d sets", len(sets))
	}
	last := map[zone.MAC]zone.Time{}
	for i, set := range sets {
		what := []string{"", "", simulate.MiraiSYN, simulate.Beacon}[i/2]
		if set.Attack != what || set.Learn != (i < 2) || set.Device != []zone.MAC{cam.MAC, tv.MAC}[i%2] || len(set.Rows) == 0 {
			t.Fatalf("set %d: %s, attack %q, learn %v, %d rows", i, set.Device, set.Attack, set.Learn, len(set.Rows))
		}
		for k, row := range set.Rows {
			if k > 0 && (row.Time < set.Rows[k-1].Time || row.Packet <= set.Rows[k-1].Packet) {
				t.Fatalf("set %d: row %d is not after its predecessor", i, k)
			}
			if row.Features[0] < 1 {
				t.Fatalf("set %d: row %d has the weight %v", i, k, row.Features[0])
			}
		}
		switch {
		case set.Learn:
			last[set.Device] = set.Rows[len(set.Rows)-1].Time
		case set.Rows[0].Time < last[set.Device]:
			t.Errorf("set %d begins at %v, before what is learned from ends", i, set.Rows[0].Time)
		}
	}
	if n := len(sets[4].Rows); n < 9000 || n > 11000 {
		t.Errorf("%d rows of a flood of 10 s", n)
	}
}

func TestOverlays(t *testing.T) {
	h := simulated(t)
	cam := h.device(t, "webcam")
	all, err := Overlays(context.Background(), []string{h.path}, []zone.MAC{{2}, cam.MAC})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d overlays, %v", len(all), err)
	}
	o := all[0]
	if o.MAC != cam.MAC || o.IP != cam.IP || o.GatewayMAC != h.router || o.Start < homeStart || len(o.Usual) == 0 {
		t.Errorf("%+v", o)
	}
	for _, u := range o.Usual {
		if u.Wait < 0 || u.Size < 0 || u.Size > 1500 {
			t.Fatalf("usually sends %+v", u)
		}
	}
	if _, err := Overlays(context.Background(), []string{h.path}, []zone.MAC{{2}}); err == nil {
		t.Error("a device that is not there may attack")
	}
}
