package bellwether_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floors is the order of the rooms: "a, b < c" says that c may import a and b,
// and whatever these may import. A room that no rule names and an import that
// no rule allows fail the test. Rooms of internal are named without it.
//
// DO NOT CHANGE THIS DATA TO FIX A BUILD. It says what must never come to depend
// on what: nothing upstream reads anything downstream, a contract never imports
// its drivers, and only gateway puts the parts together.
const floors = `
	# The vocabulary, pure maths, and files that survive a crash.
	NONE < zone, nn, durable, identity, backup, canonical, policy, processtest;
	canonical < cose;
	durable < journal;

	# What a packet is, what a transaction may say, what a ledger must promise.
	zone < packet;
	canonical, zone < ledger;
	cose, policy, zone < contract;
	contract < message;

	# A member of a zone, on a machine of its own.
	durable, identity, journal, message < follower;
	follower < follower/command;
	follower/command < cmd/bellwether-follower;

	# Where packets come from, and what is measured on them.
	packet < capture, feature, roster, simulate;

	# What is normal for a device, and where observations are kept.
	canonical, nn, zone < detect;
	zone < baseline, mud;
	feature < nbaiot;
	baseline, detect, durable, feature < evaluate;
	canonical, journal, zone < store;

	# The drivers of the ledger, what they share, and the suite that every driver passes.
	contract, ledger < ledger/producer;
	journal, ledger/producer < ledger/embedded;
	contract, ledger < ledger/ledgertest;

	# The hub of a zone's members.
	durable, journal, ledger, message < bus;

	# The contract on Hyperledger Fabric, and the programs of its nodes.
	contract, ledger < ledger/fabric/chaincode;
	NONE < ledger/fabric/nodes, ledger/fabric/pkcs11, ledger/fabric/profile, ledger/fabric/softhsm;
	durable, ledger/fabric/chaincode, ledger/fabric/nodes, ledger/fabric/profile < ledger/fabric/network;
	ledger/fabric/network < ledger/fabric/networktest;
	ledger/fabric/chaincode < ledger/fabric/evidence;
	durable, journal, ledger/fabric/evidence, ledger/fabric/pkcs11, ledger/fabric/profile, ledger/producer < ledger/fabric;

	# What the entries of a ledger are worth.
	contract < trust;

	# What a device did not do while it was learned.
	detect, packet < novelty;

	# A device's life. The monitor knows the ledger's contract and no driver.
	contract, durable, feature, ledger, novelty, roster, store < monitor;

	# What leaves the gateway.
	durable, ledger, packet < alert;
	identity, ledger/fabric/evidence, monitor, mud < proof;

	# The only wiring.
	alert, backup, bus, capture, ledger/embedded, ledger/fabric, proof, simulate, trust < gateway;

	# Attacks that did not happen, on the whole of it.
	gateway < rehearse;
	evaluate, follower/command, ledger/fabric/network, nbaiot, rehearse < cmd/bellwether;
`

// design is the page whose table of floors is held against the order.
const design = "DESIGN.md"

// beside is where programs may stand that only test the others: they may
// import every room.
const beside = "test/"

// outside says which rooms may import which modules of others; tests may import
// more. What is not listed here is the standard library's or refused.
func outside() map[string][]string {
	return map[string][]string{
		"filippo.io/age":                                {"backup"},
		"github.com/cedar-policy/cedar-go":              {"policy"},
		"github.com/coder/websocket":                    {"bus", "follower"},
		"github.com/digitorus/pkcs7":                    {"mud"},
		"github.com/fxamacker/cbor/v2":                  {"canonical"},
		"github.com/goccy/go-yaml":                      {"cmd/bellwether", "gateway", "ledger/fabric/network", "ledger/fabric/profile"},
		"github.com/hyperledger/fabric-chaincode-go/v2": {"ledger/fabric/chaincode"},
		"github.com/hyperledger/fabric-gateway":         {"ledger/fabric"},
		"github.com/hyperledger/fabric-protos-go-apiv2": {"ledger/fabric", "ledger/fabric/chaincode", "ledger/fabric/evidence"},
		"github.com/klauspost/compress":                 {"capture", "store"},
		"github.com/nwaples/rardecode/v2":               {"nbaiot"},
		"github.com/parquet-go/parquet-go":              {"store"},
		"github.com/spf13/cobra":                        {"cmd/bellwether"},
		"github.com/transparency-dev/formats":           {"ledger"},
		"github.com/transparency-dev/merkle":            {"ledger"},
		"golang.org/x/mod":                              {"identity", "ledger"},
		"golang.org/x/net":                              {"packet"},
		"golang.org/x/sync":                             {"gateway"},
		"golang.org/x/sys":                              {"capture", "gateway", "journal", "store"},
		"golang.org/x/term":                             {"cmd/bellwether"},
		"gonum.org/v1/plot":                             {"evaluate"},
		"google.golang.org/grpc":                        {"ledger/fabric", "ledger/fabric/chaincode"},
		"google.golang.org/protobuf":                    {"ledger/fabric", "ledger/fabric/evidence"},
		"rsc.io/qr":                                     {"cmd/bellwether", "follower/command"},
	}
}

// TestFloors holds every import of the tree against the order of the rooms.
func TestFloors(t *testing.T) {
	allowed, err := parseFloors(floors)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages(t) {
		if strings.HasPrefix(p.name, beside) {
			continue
		}
		may, known := allowed[p.name]
		if !known {
			t.Errorf("%s has no place in the order of rooms: say in deps_test.go what it may import", p.name)
			continue
		}
		p.imports(func(file, imported string) {
			if own, ok := room(imported); ok && !may[own] {
				t.Errorf("%s: %s must not import %s", file, p.name, own)
			}
		})
		delete(allowed, p.name)
	}
	for name := range allowed {
		t.Errorf("there is no room %q: take it out of the order", name)
	}
}

// TestDesignTable: the table of floors on the design page is that of the order.
func TestDesignTable(t *testing.T) {
	allowed, err := parseFloors(floors)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(allowed)) {
		n := height(allowed, name)
		for len(rows) <= n {
			rows = append(rows, nil)
		}
		rows[n] = append(rows[n], "`"+name+"`")
	}
	page, err := os.ReadFile(design)
	if err != nil {
		t.Fatal(err)
	}
	for n, names := range rows {
		want := fmt.Sprintf("| %d | %s |\n", n, strings.Join(names, ", "))
		if !strings.Contains(string(page), want) {
			t.Errorf("%s has no line %q", design, want)
		}
	}
}

// height is the longest way down from a room.
func height(allowed map[string]map[string]bool, name string) int {
	h := 0
	for low := range allowed[name] {
		if low != "NONE" {
			h = max(h, height(allowed, low)+1)
		}
	}
	return h
}

// TestOutside holds every import of another module against the table.
func TestOutside(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		p.imports(func(file, imported string) {
			first, _, _ := strings.Cut(imported, "/")
			if _, own := room(imported); own || !strings.Contains(first, ".") {
				return
			}
			module, rooms := moduleOf(imported)
			used[module] = true
			if !slices.Contains(rooms, p.name) && !strings.HasPrefix(p.name, beside) {
				t.Errorf("%s: %s must not import %s", file, p.name, imported)
			}
		})
	}
	for module := range outside() {
		if !used[module] {
			t.Errorf("nothing imports %s: take it out of the table, and out of go.mod", module)
		}
	}
}

func moduleOf(imported string) (module string, rooms []string) {
	for m, r := range outside() {
		if imported == m || strings.HasPrefix(imported, m+"/") {
			return m, r
		}
	}
	return imported, nil
}

// room gives the room of an import path of this module.
func room(imported string) (string, bool) {
	name, ok := strings.CutPrefix(imported, "bellwether/")
	return strings.TrimPrefix(name, "internal/"), ok
}

// imports calls f for every import of the package's files.
func (p *pkg) imports(f func(file, imported string)) {
	for _, file := range p.files {
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value) // the parser has read it
			f(p.at(spec), imported)
		}
	}
}

// parseFloors gives for each room the rooms that it may import. A room has to
// stand on the right of a rule before it stands on the left of one, and never
// after: so there can be no circle.
func parseFloors(text string) (map[string]map[string]bool, error) {
	allowed := map[string]map[string]bool{}
	used := map[string]bool{}
	for rule := range strings.SplitSeq(withoutComments(text), ";") {
		if strings.TrimSpace(rule) == "" {
			continue
		}
		left, right, ok := strings.Cut(rule, "<")
		if !ok || strings.Contains(right, "<") {
			return nil, fmt.Errorf("rule %q does not have one <", rule)
		}
		below := map[string]bool{}
		for _, low := range list(left) {
			if allowed[low] == nil && low != "NONE" {
				return nil, fmt.Errorf("rule %q: %s stands on the left before it stood on the right", rule, low)
			}
			used[low] = true
			below[low] = true
			for deeper := range allowed[low] {
				below[deeper] = true
			}
		}
		for _, high := range list(right) {
			if allowed[high] != nil || used[high] {
				return nil, fmt.Errorf("rule %q: %s had its place before", rule, high)
			}
			allowed[high] = below
		}
	}
	return allowed, nil
}

func withoutComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		before, _, _ := strings.Cut(line, "#")
		b.WriteString(before + "\n")
	}
	return b.String()
}

func list(s string) []string {
	names := strings.Split(s, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// TestParseFloors shows that the order itself is held to its rules.
func TestParseFloors(t *testing.T) {
	for _, bad := range []string{
		"a < b;",                    // a has no place
		"NONE < a; a < b; b < a;",   // a circle
		"NONE < a; NONE < b < a;",   // two signs
		"NONE < a; a < b; NONE < b", // b twice
		"NONE a;",
	} {
		if got, err := parseFloors(bad); err == nil {
			t.Errorf("parseFloors(%q) = %v, want an error", bad, got)
		}
	}
	got, err := parseFloors("NONE < a; a < b; # no\n b < c;")
	if err != nil || !got["c"]["a"] || got["a"]["b"] || got["b"]["c"] {
		t.Errorf("parseFloors = %v, %v: c may import a through b, and nothing the other way", got, err)
	}
}
