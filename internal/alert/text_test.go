package alert

import (
	"bytes"
	"testing"

	"bellwether/internal/zone"
)

func TestWrite(t *testing.T) {
	source := anAlert()
	source.Reason, source.Text = zone.ReasonSource, "it uses the source address 198.18.0.9, which it never had"
	for _, c := range []struct {
		a    *zone.Alert
		want string
	}{
		{anAlert(), `alert-abcdef010203  camera (00:00:5e:00:53:01) stopped behaving like itself at 2017-04-07T22:24:37Z
  why    talks to 122 new hosts <on port 23>
  score  3.25, threshold 0.5: 31 of the last 60 snapshots lie above it, since 22:24:37.251
`},
		{source, `alert-abcdef010203  camera (00:00:5e:00:53:01) stopped behaving like itself at 2017-04-07T22:24:37Z
  why    it uses the source address 198.18.0.9, which it never had
`},
	} {
		var out bytes.Buffer
		if Write(&out, c.a, zone.AlertID(digest)); out.String() != c.want {
			t.Errorf("got\n%s\nwant\n%s", out.String(), c.want)
		}
	}
}

func TestWriteFeatures(t *testing.T) {
	const want = `  feature                        observed   usually                   share of the error
  MI_dir_L5_weight                 1500.5   1 to 20                    62.5 %
  HpHp_L0.01_pcc                    -0.25   0 to 0                      6.2 %
`
	var out bytes.Buffer
	if WriteFeatures(&out, anAlert()); out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
