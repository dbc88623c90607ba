package follower

import (
	"testing"

	"bellwether/internal/canonical"
	"bellwether/internal/contract"
	"bellwether/internal/zone"
)

func FuzzCommand(f *testing.F) {
	for _, line := range []string{
		`{"send": {"to": "hub", "text": "hello"}, "id": "greeting-1"}`, `{"request": {"to": "hub", "base64": "AAEC", "seal": true}}`,
		`{"reply": {"to": "hub", "ref": "1134b9641407bffa8553c548f8c6fc47948961bf4c258d4a7fc16aa2d83519fb", "text": "yes"}}`,
		`{"create": {"object": "state.door", "text": "open"}}`, `{"read": {"to": "hub", "object": "plan"}}`, `{"from": 1, "follow": true}`, `{"done": 17}`, `{"status": true}`,
		`{}`, `null`, `{"send": null}`, `{"send": {}, "read": {}}`, `{"send": {"text": "a", "base64": "AA=="}}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := parseCommand(line)
		if err != nil {
			return
		}
		o, err := c.order("me")
		if err != nil || o == nil || o.check() != nil {
			return
		}
		if o.Op < contract.OpSend || o.Op > contract.OpDelete || len(o.Content) > contract.MaxPayload {
			t.Fatalf("%s is taken as %+v", line, o)
		}
	})
}

// FuzzOutbox: whatever the records of an outbox are, reading them ends in an error
// or in an outbox that can be asked.
func FuzzOutbox(f *testing.F) {
	add := func(records ...any) {
		var b [][]byte
		for _, r := range records {
			raw, err := canonical.Marshal(r)
			if err != nil {
				f.Fatal(err)
			}
			b = append(b, raw)
		}
		for len(b) < 3 {
			b = append(b, nil)
		}
		f.Add(b[0], b[1], b[2])
	}
	order := orderRecord{Type: recordOrder, Number: 1, Order: Order{ID: "x", To: "hub", Op: contract.OpSend, Content: []byte("hello")}}
	add(order, signedRecord{Type: recordSigned, Number: 1, N: 2, Object: []byte("o"), Payload: []byte("p")},
		settledRecord{Type: recordSettled, Name: "x", Result: Result{Number: 1, N: 2, ID: zone.HID{1}, Block: 3}})
	add(headRecord{Type: recordHead, Number: 9, Serial: 1, Asked: 2, Last: 7}, orderRecord{Type: recordOrder, Number: 10, Serial: 3, Order: Order{Ticket: []byte("t")}})
	add(order, order, order)
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		o := &outbox{named: map[string]*entry{}}
		for i, payload := range [][]byte{a, b, c} {
			if err := o.replay(i, payload); err != nil {
				return
			}
		}
		o.next(true)
		o.doubtful()
		if waiting, signed := o.counts(); signed > waiting || waiting > 3 {
			t.Fatalf("%d wait, %d are signed", waiting, signed)
		}
	})
}
