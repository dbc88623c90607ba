package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	gateway "github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/fabric"
	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
	"bellwether/internal/zone"
)

// rowsEach is how many rows' hashes stand under the root of one transaction.
const rowsEach = 1000

// throughput holds the driver against a plain loop, each submitter waiting until
// its own transaction is committed.
func (b *bench) throughput(o *outcome) error {
	o.goal = "64 submitters: at least 80 % of the transactions of a plain fabric-gateway loop, and at least 60,000 hashes a second in transactions of 1,000"
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "submitters\tplain loop: tx/s, 1 in a block of Fabric\tup to 500 in one\tdriver: tx/s\thashes/s\t")
	single, err := b.network(network.Options{})
	if err != nil {
		return err
	}
	defer single.down()
	many, err := b.network(network.Options{BatchTxs: 500, BatchTimeout: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	defer many.down()
	for _, submitters := range []int{1, 16, 64} {
		of := [3][]float64{}
		for round := range 3 { // by turns, since others may use the machine
			for i, measure := range []func() (float64, error){
				func() (float64, error) { return plainLoop(single, submitters, 3*time.Second) },
				func() (float64, error) { return plainLoop(many, submitters, 3*time.Second) },
				func() (float64, error) {
					return b.driverLoop(single, fmt.Sprintf("speed%dx%d", submitters, round), submitters, 3*time.Second)
				},
			} {
				rate, err := measure()
				if err != nil {
					return err
				}
				of[i] = append(of[i], rate)
			}
		}
		for i := range of {
			slices.Sort(of[i])
		}
		one, batched, driver := of[0][1], of[1][1], of[2][1]
		fmt.Fprintf(t, "%d\t%.0f\t%.0f\t%.0f\t%.0f\t\n", submitters, one, batched, driver, driver*rowsEach)
		if submitters == 64 {
			limit := max(one, batched)
			o.need(driver >= 0.8*limit, "64 submitters: %.0f %% of the plain loop's %.0f transactions a second", 100*driver/limit, limit)
			o.need(driver*rowsEach >= 60_000, "64 submitters: %.0f hashes a second", driver*rowsEach)
		}
	}
	t.Flush()
	o.say("%s", strings.TrimRight(table.String(), "\n"))
	o.say("medians of three by turns, 3 s each")
	o.say("the plain loop's transactions call the chaincode and write nothing, which flatters it")
	return nil
}

// loop has submitters do something again and again for a while, and gives how
// often a second it was done.
func loop(submitters int, while time.Duration, do func(submitter, n int) error) (float64, error) {
	began := time.Now()
	var mu sync.Mutex
	var errs []error
	done := 0
	var wait sync.WaitGroup
	for i := range submitters {
		wait.Go(func() {
			n := 0
			var err error
			for ; err == nil && time.Since(began) < while; n++ {
				err = do(i, n)
			}
			mu.Lock()
			defer mu.Unlock()
			done, errs = done+n, append(errs, err)
		})
	}
	wait.Wait()
	return float64(done) / time.Since(began).Seconds(), errors.Join(errs...)
}

// plainLoop submits transactions as an example of fabric-gateway would.
func plainLoop(n *fabricNet, submitters int, while time.Duration) (float64, error) {
	g := n.Gateway(0)
	creds, err := credentials.NewClientTLSFromFile(g.TLSCA, "")
	if err != nil {
		return 0, err
	}
	conn, err := grpc.NewClient("dns:///"+g.Peer, grpc.WithTransportCredentials(creds))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	id, sign, err := identityOf(g)
	if err != nil {
		return 0, err
	}
	gw, err := gateway.Connect(id, gateway.WithSign(sign), gateway.WithHash(hash.NONE), gateway.WithClientConnection(conn))
	if err != nil {
		return 0, err
	}
	defer gw.Close()
	c := gw.GetNetwork(g.Channel).GetContract(g.Chaincode)
	return loop(submitters, while, func(int, int) error {
		_, err := c.SubmitTransaction(chaincode.FunctionVersion)
		return err
	})
}

func identityOf(g network.Gateway) (*identity.X509Identity, identity.Sign, error) {
	cert, err := os.ReadFile(g.Cert)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := identity.CertificateFromPEM(cert)
	if err != nil {
		return nil, nil, err
	}
	id, err := identity.NewX509Identity(g.MSP, parsed)
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(g.Key)
	if err != nil {
		return nil, nil, err
	}
	key, err := identity.PrivateKeyFromPEM(text)
	if err != nil {
		return nil, nil, err
	}
	sign, err := identity.NewPrivateKeySign(key)
	return id, sign, err
}

// driverLoop has each submitter record segments of its own device.
func (b *bench) driverLoop(n *fabricNet, name string, submitters int, while time.Duration) (float64, error) {
	c, err := n.connection(name)
	if err != nil {
		return 0, err
	}
	dir, err := b.scratch("ledger")
	if err != nil {
		return 0, err
	}
	ctx := context.Background()
	l, err := fabric.Open(ctx, dir, ledgertest.Master(), fabric.Options{Connection: c, BlockAge: -1})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	var s source
	first, err := s.tx()
	if err != nil {
		return 0, err
	}
	if err := errors.Join(l.Submit(ctx, first), l.Commit(ctx)); err != nil {
		return 0, err
	}
	z, _, err := contract.ReadZone(l.State())
	if err != nil {
		return 0, err
	}
	return loop(submitters, while, func(i, n int) error {
		raw, err := segmentOf(z.ID, i, uint64(n)+1)
		if err != nil {
			return err
		}
		return errors.Join(l.Submit(ctx, raw), l.Commit(ctx))
	})
}

// segmentOf makes transaction n of device i: that it was seen, then one segment
// of rows after another.
func segmentOf(group zone.Hash, i int, n uint64) ([]byte, error) {
	tx := contract.Tx{Zone: group, Time: ledgertest.Created.Add(time.Duration(n) * time.Second), Device: ledgertest.Device(i), N: n,
		Body: &contract.SegmentRecorded{First: zone.SeqID(n * rowsEach), Last: zone.SeqID(n*rowsEach + rowsEach - 1), Rows: rowsEach, Root: zone.Hash{1}, Unjudged: rowsEach}}
	if n == 1 {
		tx.Body = &contract.DeviceSeen{Name: fmt.Sprint("device ", i)}
	}
	return tx.Sign(ledgertest.Master())
}
