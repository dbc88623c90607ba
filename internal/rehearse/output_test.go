package rehearse

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"bellwether/internal/zone"
)

// sample is a report of two devices and two attacks.
func sample() *Report {
	a, b := zone.MAC{5: 1}, zone.MAC{5: 2}
	trials := []Trial{
		{Device: a, Name: "Cam <1>", Attack: "mirai-syn", Round: 1, Packets: 100, Found: true, Seconds: 0.25, Sent: 20, Window: 10, Windows: 90, Caught: 81, Flagged: 80, Reason: "says \"so\", & more"},
		{Device: b, Name: "Plug", Attack: "mirai-syn", Round: 1, Packets: 100, Already: true},
		{Device: a, Name: "Cam <1>", Attack: "beacon", Round: 1, Packets: 15, Windows: 5},
		{Device: b, Name: "Plug", Attack: "beacon", Round: 1, Packets: 15, Windows: 5},
	}
	r := &Report{Trials: trials, Method: Method{Times: 1, Split: 0.6},
		Devices: []Device{{MAC: a, Name: "Cam <1>", FalseAlarms: []FalseAlarm{{"2026-01-01T00:00:00Z", "because"}}}, {MAC: b, Name: "Plug"}},
		Left:    []Unable{{zone.MAC{5: 3}, "Lock", "sent 3 packets in the part to learn from, needs 2000"}}}
	for _, name := range []string{"mirai-syn", "beacon"} {
		r.attack(name, []actor{{mac: a, name: "Cam <1>"}, {mac: b, name: "Plug"}})
	}
	return r
}

func TestReportSums(t *testing.T) {
	r := sample()
	if len(r.Attacks) != 2 || len(r.Pairs) != 4 || r.FalseAlarms() != 1 {
		t.Fatalf("%+v", r)
	}
	syn, beacon := r.Attacks[0], r.Attacks[1]
	if syn.Found != 1 || syn.Already != 1 || syn.Missed != 0 || syn.WindowTPR != 0.9 || syn.Quiet || syn.Source == "" {
		t.Errorf("%+v", syn)
	}
	if beacon.Missed != 2 || len(beacon.MissedBy) != 2 || !beacon.Quiet {
		t.Errorf("%+v", beacon)
	}
	if r.Pairs[0].Reason != r.Trials[0].Reason || r.Pairs[1].Reason != "" {
		t.Errorf("reasons %q, %q", r.Pairs[0].Reason, r.Pairs[1].Reason)
	}
	if !r.Found() { // the beacon says of itself that it is quiet
		t.Error("a report without a loud attack missed says that there is one")
	}
	r.Attacks[0].Missed = 1
	if r.Found() {
		t.Error("a loud attack that was missed does not count")
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mirai-syn  10 s", "0.25", "90.00 %", "Cam <1>, Plug", "left out: Lock", "false alarm: Cam <1>, 2026-01-01T00:00:00Z: because", "first 60 % of the time"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, b.String())
		}
	}
}

// TestEvidenceTables: what each kind of evidence adds, in words and as a page.
func TestEvidenceTables(t *testing.T) {
	r := sample()
	var table, page strings.Builder
	for _, name := range []string{"all", "autoencoder alone"} {
		e := Evidence{Name: name, FalseAlarms: 17}
		e.Loud = counted(r.Trials, func(*Trial) bool { return true })
		for _, a := range r.Attacks {
			e.Attacks = append(e.Attacks, Single{a.Name, a.Count})
		}
		r.Evidence = append(r.Evidence, e)
	}
	if err := errors.Join(r.WriteTable(&table), r.WriteHTML(&page)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"autoencoder alone  loud", "  17\n", "1 of 1, 0.25", "0 of 2"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, table.String())
		}
	}
	if strings.Contains(table.String(), "quiet") {
		t.Error("the table has a line for quiet attacks, and there were none")
	}
	for _, want := range []string{"What each kind of evidence adds", "<td>17</td>", "<td>1 of 1, 0.25</td>", "<td>0 of 2</td>"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestCSV(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil || len(lines) != 5 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for i, want := range []string{"outcome", "found", "in alarm before", "missed", "missed"} {
		if lines[i][7] != want {
			t.Errorf("line %d: outcome %q, want %q", i, lines[i][7], want)
		}
	}
	if lines[1][9] != "20" || lines[2][9] != "" || lines[1][16] != `says "so", & more` {
		t.Errorf("%q", lines[1])
	}
}

// TestPage: the page is well formed, loads nothing, and has both pictures and
// every reason.
func TestPage(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	elements := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		elements[e.Name.Local]++
		for _, a := range e.Attr {
			if a.Name.Local == "src" || a.Name.Local == "href" {
				t.Errorf("the page loads %s", a.Value)
			}
		}
	}
	if elements["svg"] != 2 || elements["rect"] < 4+2 || strings.Contains(page, "Cam <1>") || !strings.Contains(page, "says &#34;so&#34;, &amp; more") {
		t.Errorf("elements %v", elements)
	}
}
