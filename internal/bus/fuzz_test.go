package bus

import (
	"testing"

	"bellwether/internal/canonical"
	"bellwether/internal/zone"
)

// FuzzFiles: no record of a hub's files makes a program that reads it panic.
func FuzzFiles(f *testing.F) {
	f.Add(head{Base: 1, Height: 2, Begun: 3}.bytes())
	f.Add(head{Base: 1, Height: 2, Begun: 3, Before: []tallied{}, Own: []tallied{{From: "a", Records: 1, Bytes: 70}}, Through: 4}.bytes())
	f.Add((&stored{seq: 1, id: zone.HID{2}, from: "a", payload: []byte{3}}).bytes())
	for _, v := range []any{[]cursor{{Member: "a", At: 1}}, version{Owner: "a", Name: "b", ID: zone.HID{1}, Object: []byte{1}, Payload: []byte{2}}} {
		raw, err := canonical.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"request":{"identity":"a.b","from":"::1","time":1,"renewal":true}}`))
	f.Add([]byte(`{"invite":{"hash":"00","grant":{"role":"x","mac":"02:00:00:00:00:01"},"time":1},"spent":"","ticket":"0oRY","done":"a","address":"b:1"}`))
	f.Add([]byte(`{"request":{"identity":"a.b","from":"fe80::1%x"},"dropped":"a.b","invite":{"hash":"00","grant":{"role":"x"},"time":1,"until":2}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if h, err := parseHead(raw); err == nil && string(h.bytes()) != string(raw) {
			t.Errorf("the head %x is read as %+v", raw, h)
		}
		if s, err := parseStored(raw); err == nil && string(s.bytes()) != string(raw) {
			t.Errorf("the payload %x is read as %+v", raw, s)
		}
		parseCursors(raw)
		checkVersion(raw)
		if n, err := parseNote(raw); err == nil {
			(&Desk{requests: map[string]Request{}, invites: map[zone.Hash]invite{}, issued: map[zone.MemberID]issued{}}).apply(n)
		}
	})
}
