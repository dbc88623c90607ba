package fabric

import (
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// call makes a transaction of Fabric that calls a chaincode.
func call(t testing.TB, kind common.HeaderType, id, name string, args ...string) []byte {
	t.Helper()
	return callAs(t, kind, id, name, name, args...)
}

// callAs makes one that says it calls a chaincode, where another was run.
func callAs(t testing.TB, kind common.HeaderType, id, name, ran string, args ...string) []byte {
	t.Helper()
	input := &peer.ChaincodeInput{}
	for _, a := range args {
		input.Args = append(input.Args, []byte(a))
	}
	spec := &peer.ChaincodeInvocationSpec{ChaincodeSpec: &peer.ChaincodeSpec{ChaincodeId: &peer.ChaincodeID{Name: name}, Input: input}}
	response := &peer.ProposalResponsePayload{Extension: encoded(t, &peer.ChaincodeAction{ChaincodeId: &peer.ChaincodeID{Name: ran}})}
	action := &peer.ChaincodeActionPayload{ChaincodeProposalPayload: encoded(t, &peer.ChaincodeProposalPayload{Input: encoded(t, spec)}),
		Action: &peer.ChaincodeEndorsedAction{ProposalResponsePayload: encoded(t, response)}}
	tx := &peer.Transaction{Actions: []*peer.TransactionAction{{Payload: encoded(t, action)}}}
	header := &common.Header{ChannelHeader: encoded(t, &common.ChannelHeader{Type: int32(kind), TxId: id})}
	return encoded(t, &common.Envelope{Payload: encoded(t, &common.Payload{Header: header, Data: encoded(t, tx)})})
}

func blockOf(flags []byte, data ...[]byte) *common.Block {
	metadata := make([][]byte, common.BlockMetadataIndex_TRANSACTIONS_FILTER+1)
	metadata[common.BlockMetadataIndex_TRANSACTIONS_FILTER] = flags
	return &common.Block{Header: &common.BlockHeader{Number: 7}, Data: &common.BlockData{Data: data}, Metadata: &common.BlockMetadata{Metadata: metadata}}
}

// TestCalls: of a block of Fabric only our own calls are taken; what others
// wrote to the channel, however malformed, is passed over unless it is valid.
func TestCalls(t *testing.T) {
	const tx = common.HeaderType_ENDORSER_TRANSACTION
	valid, conflict, bad := byte(peer.TxValidationCode_VALID), byte(peer.TxValidationCode_MVCC_READ_CONFLICT), byte(peer.TxValidationCode_BAD_PAYLOAD)
	id := strings.Repeat("ab", 32)
	ours := call(t, tx, id, "zone", "append", "block")
	b := blockOf([]byte{valid, conflict, valid, valid, valid, bad, bad},
		ours, ours, call(t, tx, id, "other", "append", "block"), call(t, tx, id, "zone", "version"),
		call(t, common.HeaderType_CONFIG, id, "zone", "append", "block"), []byte("\xff\xff"), call(t, tx, "short", "zone", "append", "block"))
	var got []found
	for f, err := range calls(b, "zone") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f)
	}
	if len(got) != 2 || got[0].err() != nil || got[1].err() == nil || got[1].code != peer.TxValidationCode_MVCC_READ_CONFLICT {
		t.Fatalf("got %+v", got)
	}
	if string(got[0].arg) != "block" || got[0].function != "append" || got[0].at.At != 7 || got[0].at.ID[31] != 0xab {
		t.Errorf("got %+v", got[0])
	}
	// What counts is the chaincode that was run, whatever the call says that it calls.
	for ran, want := range map[string]int{"zone": 1, "other": 0} {
		count := 0
		for _, err := range calls(blockOf([]byte{valid}, callAs(t, tx, id, map[string]string{"zone": "other", "other": "zone"}[ran], ran, "append", "block")), "zone") {
			if count++; err != nil {
				t.Error(err)
			}
		}
		if count != want {
			t.Errorf("chaincode %q was run: %d calls are taken, want %d", ran, count, want)
		}
	}
	for name, b := range map[string]*common.Block{
		"valid and unreadable": blockOf([]byte{valid}, []byte("\xff\xff")),
		"valid, with a bad ID": blockOf([]byte{valid}, call(t, tx, "short", "zone", "append", "block")),
		"no flags":             blockOf(nil, ours),
		"too few flags":        blockOf([]byte{valid}, ours, ours),
		"no metadata":          {Data: &common.BlockData{Data: [][]byte{ours}}},
	} {
		failed := false
		for _, err := range calls(b, "zone") {
			failed = err != nil
		}
		if !failed {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzParseEnvelope: whatever is on a channel, nothing panics, and what is taken
// for ours has all that is needed.
func FuzzParseEnvelope(f *testing.F) {
	id := strings.Repeat("01", 32)
	f.Add(call(f, common.HeaderType_ENDORSER_TRANSACTION, id, "zone", "append", "block"))
	f.Add(call(f, common.HeaderType_CONFIG, id, "zone"))
	f.Add([]byte("\x0a\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, ours, err := parseEnvelope(raw, "zone")
		if err == nil && ours && got.at.ID == [32]byte{} && !strings.Contains(string(raw), strings.Repeat("0", 64)) {
			t.Fatalf("%x is taken without an ID", raw)
		}
		if !ours && err != nil {
			t.Fatalf("%x is not ours and an error: %v", raw, err)
		}
	})
}
