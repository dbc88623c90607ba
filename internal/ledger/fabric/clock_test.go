package fabric

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

// TestClock has the gateway's clock differ from the peer's: by 14 minutes it does
// not matter, by 16 the error says what to do, and nothing that was acknowledged
// is touched.
func TestClock(t *testing.T) {
	t.Parallel()
	c, dir, txs := connection(up(t, network.Options{}), 0), t.TempDir(), history(t, 4)
	now := time.Now()
	l := opened(t, dir, ledgertest.Master(), Options{Connection: c, Patience: calmPatience})
	submit(t, l, txs[0])
	commit(t, l)
	l.Close()
	for i, skew := range []time.Duration{-14 * time.Minute, 14 * time.Minute, -16 * time.Minute, 16 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(now.Add(skew))) // in here the clock is another one
			l, err := Open(t.Context(), dir, ledgertest.Master(), Options{Connection: c, Patience: calmPatience})
			if err == nil {
				submit(t, l, txs[i+1])
				commit(t, l)
				l.Close()
			}
			if far := skew.Abs() > 15*time.Minute; far != (err != nil) || far && !strings.Contains(err.Error(), "set the clock") {
				t.Errorf("%s apart: %v", skew, err)
			}
		})
	}
	l = opened(t, dir, ledgertest.Master(), Options{Connection: c, Patience: calmPatience})
	want(t, l, txs[:3]...)
}
