package fabric

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gateway "github.com/hyperledger/fabric-gateway/pkg/client"

	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

// TestTwoOrganisations: both have to endorse. With one of them away nothing is
// recorded, and what one endorsed alone is found invalid by every peer.
func TestTwoOrganisations(t *testing.T) {
	t.Parallel()
	o := network.Options{Dir: t.TempDir(), Orgs: 2}
	n := up(t, o)
	dir := t.TempDir()
	l := opened(t, dir, ledgertest.Master(), Options{Connection: connection(n, 0), Patience: calmPatience})
	txs := history(t, 4)
	submit(t, l, txs[:2]...)
	commit(t, l)

	submit(t, l, txs[2])
	b, err := l.producer.Seal(l.signer)
	if err != nil {
		t.Fatal(err)
	}
	proposal, err := l.client.contract.NewProposal(chaincode.FunctionAppend, gateway.WithBytesArguments(b.Bytes()), gateway.WithEndorsingOrganizations("org1MSP"))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := proposal.EndorseWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, err := parseID(tx.TransactionID())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := tx.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	alone := &outbox{Block: b.Header.Number, ID: id, Prepared: raw}
	invalid := (*InvalidError)(nil)
	if _, err := l.settle(t.Context(), alone); !errors.As(err, &invalid) || invalid.Code != "ENDORSEMENT_POLICY_FAILURE" {
		t.Fatalf("endorsed by one organisation alone: %v", err)
	}
	// As if a process had ended right behind writing it down.
	if err := alone.write(filepath.Join(dir, outboxFile)); err != nil {
		t.Fatal(err)
	}
	l.Close()

	l = opened(t, dir, ledgertest.Master(), Options{Connection: connection(n, 0), Patience: 2 * time.Second})
	want(t, l, txs[:2]...)
	if err := n.Kill("peer-org2"); err != nil {
		t.Fatal(err)
	}
	submit(t, l, txs[2])
	if err := l.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), "was not endorsed") {
		t.Fatalf("with the second organisation away: %v", err)
	}
	up(t, o)
	l.o.Patience = calmPatience
	submit(t, l, txs[2:]...)
	commit(t, l)
	want(t, l, txs...)

	second := opened(t, t.TempDir(), ledgertest.Master(), Options{Connection: connection(n, 1), Patience: calmPatience})
	want(t, second, txs...)
}
