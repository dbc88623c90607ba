package bus

import "testing"

// TestReplacedSendsNothing: a session that was replaced and is still writing takes
// no delivery away from the new one.
func TestReplacedSendsNothing(t *testing.T) {
	m := &member{}
	for at := range position(3) {
		m.push(at + 1)
	}
	session := func() *session {
		s := &session{wake: make(chan struct{}, 1), bye: byeClosed} // it ends without its connection
		m.attach(s)
		return s
	}
	old := session()
	if at, ok, _ := m.next(old); !ok || at != 1 {
		t.Fatalf("%d, %t", at, ok)
	}
	now := session()
	if at, ok, refill := m.next(old); ok || refill {
		t.Errorf("the old session is given %d, %t", at, refill)
	}
	for want := range position(3) {
		if at, ok, _ := m.next(now); !ok || at != want+1 {
			t.Errorf("the new session is given %d, %t, want %d", at, ok, want+1)
		}
	}
	m.skip(old, 3)
	if cursor, changed := m.acknowledge(old, 3); changed {
		t.Errorf("the old session acknowledges up to %d", cursor)
	}
	if cursor, changed := m.acknowledge(now, 3); !changed || cursor != 3 || len(m.wait) > 0 {
		t.Errorf("acknowledged up to %d, %t, %d wait", cursor, changed, len(m.wait))
	}
}
