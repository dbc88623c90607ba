package bus

import (
	"flag"
	"slices"
	"sync"
	"testing"
	"time"

	"bellwether/internal/message"
)

var benchMembers = flag.Int("members", 100, "members of BenchmarkMessages")

// BenchmarkMessages: members send each other messages of 256 bytes over TLS on
// loopback, as fast as they are taken; one is done when its recipient has it. The
// members' own work, signatures among it, is part of the time.
func BenchmarkMessages(b *testing.B) {
	p := newPlace(b, Options{})
	peers := make([]*peer, *benchMembers)
	for i := range peers {
		peers[i] = p.peer("m" + string(rune('a'+i/26/26%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26)))
		peers[i].join(Grant{})
	}
	type prepared struct{ object, payload []byte }
	share := (b.N + len(peers) - 1) / len(peers)
	work := make([][]prepared, len(peers))
	for i, f := range peers {
		for range share {
			body, payload := f.message(string(peers[(i+1)%len(peers)].name), string(make([]byte, 240)))
			work[i] = append(work[i], prepared{f.sign(body), payload})
		}
	}
	b.ResetTimer()
	var all sync.WaitGroup
	var mu sync.Mutex
	var latencies []time.Duration
	for i, f := range peers {
		credit := make(chan time.Time, 8) // under way
		all.Go(func() {
			for _, w := range work[i] {
				credit <- time.Now()
				f.say(&message.Submit{Object: w.object, Payload: w.payload})
			}
		})
		all.Go(func() {
			var took []time.Duration
			for receipts, deliveries := 0, 0; receipts < share || deliveries < share; {
				got, err := f.next()
				if err != nil {
					b.Error(err)
					return
				}
				switch got := got.(type) {
				case *message.Receipt:
					receipts++
					took = append(took, time.Since(<-credit))
				case *message.Delivery:
					deliveries++
					if deliveries%16 == 0 || deliveries == share {
						f.say(&message.Ack{Position: got.Position})
					}
				default:
					b.Errorf("got %+v", got)
					return
				}
			}
			mu.Lock()
			latencies = append(latencies, took...)
			mu.Unlock()
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(share*len(peers))/b.Elapsed().Seconds(), "messages/s")
	slices.Sort(latencies)
	if n := len(latencies); n > 0 {
		b.ReportMetric(float64(latencies[n*99/100].Microseconds())/1000, "ms-p99")
	}
	b.ReportMetric(float64(p.ledger.Height()), "blocks")
}
