package network

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bellwether/internal/durable"
	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/fabric/nodes"
	connection "bellwether/internal/ledger/fabric/profile"
)

// Up makes the network in a directory, or starts again what is there, and returns
// when a transaction could be endorsed. Progress, if not nil, is told each step.
//
// A network whose making was interrupted is made anew; there was nothing on it. One
// that is there does not change: with other orderers or organisations than are asked
// for that is an error.
func Up(ctx context.Context, o Options, progress func(step string)) (*Network, error) {
	if err := o.fill(); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	if progress == nil {
		progress = func(string) {}
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	unlock, err := lock(o.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	n, err := Open(o.Dir)
	switch {
	case errors.Is(err, ErrNone):
		if err := empty(o.Dir); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case n.spec.Ready:
		if err := n.isAsked(o); err != nil {
			return nil, err
		}
		return n, n.again(ctx, o, progress)
	default:
		if err := n.clear(ctx); err != nil {
			return nil, err
		}
	}
	n = &Network{dir: o.Dir}
	if err := n.create(ctx, o, progress); err != nil {
		return nil, errors.Join(err, n.stop(context.WithoutCancel(ctx)))
	}
	return n, nil
}

// isAsked refuses a network that is another one than is asked for.
func (n *Network) isAsked(o Options) error {
	if o.Orderers != "" && o.Orderers != n.spec.Orderers || o.Orgs != 0 && o.Orgs != len(n.spec.Orgs) {
		return fmt.Errorf("the network in %s was made with orderers %s and %d organisations, which cannot be changed: ask for these, or give another directory", n.dir, n.spec.Orderers, len(n.spec.Orgs))
	}
	return nil
}

// empty refuses a directory with anything of others in it.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			return fmt.Errorf("%s is neither empty nor a network of Bellwether (it has no %s): give another directory", dir, specFile)
		}
	}
	return nil
}

// clear takes away a network that was never ready.
func (n *Network) clear(ctx context.Context) error {
	if err := n.stop(ctx); err != nil {
		return err
	}
	for _, name := range []string{"nodes", "orgs", "builder", "genesis.block", "configtx.yaml", specFile} {
		if err := os.RemoveAll(n.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// again starts the nodes of a network that was up before.
func (n *Network) again(ctx context.Context, o Options, progress func(string)) error {
	if err := n.writeProfiles(ctx, o); err != nil { // a network of an older version has none
		return err
	}
	progress("start the nodes")
	if err := n.startAll(ctx, o, n.processes(o)); err != nil {
		return err
	}
	progress("wait for the channel")
	return n.ready(ctx, o)
}

// step is one part of making a network.
type step struct {
	says string
	run  func(context.Context, Options) error
}

func (n *Network) create(ctx context.Context, o Options, progress func(string)) error {
	for _, s := range []step{
		{"choose ports", n.choose},
		{"make certificates", n.certify},
		{"write connection profiles", n.writeProfiles},
		{"make the channel's first block", n.genesis},
		{"start orderers and peers", func(ctx context.Context, o Options) error {
			return n.startAll(ctx, o, n.processes(o)[:len(n.spec.Nodes)+len(n.spec.Orgs)])
		}},
		{"join the orderers to the channel", n.joinOrderers},
		{"join the peers to the channel", n.joinPeers},
		{"install the chaincode", n.install},
		{"start the chaincode", func(ctx context.Context, o Options) error {
			return n.startAll(ctx, o, n.processes(o)[len(n.spec.Nodes)+len(n.spec.Orgs):])
		}},
		{"approve the chaincode", n.approve},
		{"commit the chaincode", n.commit},
		{"wait for the chaincode", n.ready},
	} {
		progress(s.says)
		if err := s.run(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", s.says, err)
		}
	}
	n.spec.Ready = true
	return n.save()
}

// choose writes down what the network will be, with free ports.
func (n *Network) choose(_ context.Context, o Options) error {
	o.Orderers, o.Orgs = cmp.Or(o.Orderers, Raft1), cmp.Or(o.Orgs, 1)
	n.spec = spec{Format: specFormat, Host: host(o.Dir), Orderers: o.Orderers, BatchTimeout: o.BatchTimeout, BatchTxs: o.BatchTxs}
	orderers := map[string]int{Raft1: 1, Raft3: 3, BFT4: 4}[o.Orderers]
	free, err := n.ports(2 * (orderers + o.Orgs))
	if err != nil {
		return err
	}
	for i := range orderers {
		n.spec.Nodes = append(n.spec.Nodes, orderer{Name: "orderer" + strconv.Itoa(i+1), Port: free[2*i], Admin: free[2*i+1]})
	}
	free = free[2*orderers:]
	for i := range o.Orgs {
		n.spec.Orgs = append(n.spec.Orgs, org{Name: "org" + strconv.Itoa(i+1), Peer: free[2*i], Chaincode: free[2*i+1]})
	}
	return n.save()
}

// certify makes every organisation's authorities, identities and TLS files.
func (n *Network) certify(context.Context, Options) error {
	k, err := newKeeper(n.path("orgs", "orderers"), "orderers", n.spec.Host)
	if err != nil {
		return err
	}
	if err := k.server(n.path("orgs", "orderers", "admin", "tls"), "admin.orderers"); err != nil {
		return err
	}
	for _, node := range n.spec.Nodes {
		dir := n.path("nodes", node.Name)
		if err := errors.Join(k.identity(filepath.Join(dir, "msp"), node.Name, roleOrderer), k.server(filepath.Join(dir, "tls"), node.Name)); err != nil {
			return err
		}
	}
	for _, o := range n.spec.Orgs {
		if err := n.certifyOrg(o); err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) certifyOrg(o org) error {
	k, err := newKeeper(n.path("orgs", o.Name), o.Name, n.spec.Host)
	if err != nil {
		return err
	}
	dir := n.path("nodes", peerName(o))
	return errors.Join(
		k.identity(filepath.Join(dir, "msp"), peerName(o), rolePeer),
		k.server(filepath.Join(dir, "tls"), peerName(o)),
		k.server(n.path("nodes", chaincodeName(o), "tls"), chaincodeName(o)),
		k.identity(n.path("orgs", o.Name, "admin", "msp"), "admin@"+o.Name, roleAdmin),
		k.client(n.path("orgs", o.Name, "gateway"), "gateway@"+o.Name, k.ca.cert.NotAfter))
}

// genesis writes the nodes' configurations and the channel's first block.
func (n *Network) genesis(ctx context.Context, o Options) error {
	for _, node := range n.spec.Nodes {
		if err := n.configureOrderer(o.Programs, node); err != nil {
			return err
		}
	}
	for _, member := range n.spec.Orgs {
		if err := n.configurePeer(o.Programs, member); err != nil {
			return err
		}
	}
	if err := errors.Join(n.writeBuilder(), n.writeProfile()); err != nil {
		return err
	}
	return n.tool(ctx, o, nodes.Configtxgen, nil, "-configPath", n.dir, "-profile", "Bellwether", "-channelID", Channel, "-outputBlock", n.genesisBlock())
}

func (n *Network) genesisBlock() string { return n.path("genesis.block") }

func (n *Network) startAll(ctx context.Context, o Options, all []*process) error {
	for _, p := range all {
		if err := p.start(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, p := range all {
		if err := p.wait(ctx, p.address); err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) joinOrderers(ctx context.Context, o Options) error {
	tls := n.path("orgs", "orderers", "admin", "tls")
	for _, node := range n.spec.Nodes {
		if err := n.retry(ctx, o, nodes.Osnadmin, nil, "channel", "join", "--channelID", Channel, "--config-block", n.genesisBlock(),
			"-o", n.at(node.Admin), "--ca-file", filepath.Join(tls, "ca.crt"),
			"--client-cert", filepath.Join(tls, "server.crt"), "--client-key", filepath.Join(tls, "server.key")); err != nil {
			return err
		}
	}
	return nil
}

// asAdmin is the environment of an organisation's administrator.
func (n *Network) asAdmin(o org) []string {
	return []string{"FABRIC_CFG_PATH=" + n.path("orgs", o.Name, "admin"), "FABRIC_LOGGING_SPEC=error"}
}

// toOrderer names the orderer in a peer command, which waits for the commit: what
// went through without being seen could not be tried again.
func (n *Network) toOrderer() []string {
	return []string{"-o", n.at(n.spec.Nodes[0].Port), "--tls", "--cafile", n.path("orgs", "orderers", "tlsca.pem"), "--waitForEventTimeout", patience.String()}
}

func (n *Network) joinPeers(ctx context.Context, o Options) error {
	for _, member := range n.spec.Orgs {
		if err := n.retry(ctx, o, nodes.Peer, n.asAdmin(member), "channel", "join", "-b", n.genesisBlock()); err != nil {
			return err
		}
	}
	return nil
}

// version and sequence of the chaincode's definition on the channel.
const (
	definition = "1"
	sequence   = "1"
)

// pack makes an organisation's chaincode package.
func (n *Network) pack(o org) (chaincode.Package, error) {
	root, err := os.ReadFile(n.path("orgs", o.Name, "tlsca.pem"))
	return chaincode.Package{Label: Chaincode + "_" + definition, Address: n.at(o.Chaincode), RootCert: string(root)}, err
}

func (n *Network) install(ctx context.Context, o Options) error {
	for _, member := range n.spec.Orgs {
		p, err := n.pack(member)
		if err != nil {
			return err
		}
		raw, err := p.Bytes()
		if err != nil {
			return err
		}
		id, err := p.ID()
		if err != nil {
			return err
		}
		dir := n.path("nodes", chaincodeName(member))
		if err := errors.Join(write(filepath.Join(dir, "package.tar.gz"), raw, 0o644), write(filepath.Join(dir, "id"), []byte(id), 0o644)); err != nil {
			return err
		}
		if err := n.retry(ctx, o, nodes.Peer, n.asAdmin(member), "lifecycle", "chaincode", "install", filepath.Join(dir, "package.tar.gz")); err != nil {
			return err
		}
	}
	return nil
}

// Define puts the chaincode on the channel under another name too: a zone of its
// own, with its own state and the same rules. The network must run.
func (n *Network) Define(ctx context.Context, o Options, name string) error {
	if err := o.fill(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	return errors.Join(n.approveAs(ctx, o, name), n.commitAs(ctx, o, name), n.answers(ctx, o, name))
}

func (n *Network) approve(ctx context.Context, o Options) error {
	return n.approveAs(ctx, o, Chaincode)
}

func (n *Network) approveAs(ctx context.Context, o Options, name string) error {
	for _, member := range n.spec.Orgs {
		id, err := os.ReadFile(n.path("nodes", chaincodeName(member), "id"))
		if err != nil {
			return err
		}
		args := append([]string{"lifecycle", "chaincode", "approveformyorg"}, n.toOrderer()...)
		if err := n.retry(ctx, o, nodes.Peer, n.asAdmin(member), append(args, "-C", Channel, "-n", name, "-v", definition,
			"--sequence", sequence, "--package-id", string(id))...); err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) commit(ctx context.Context, o Options) error { return n.commitAs(ctx, o, Chaincode) }

func (n *Network) commitAs(ctx context.Context, o Options, name string) error {
	args := append([]string{"lifecycle", "chaincode", "commit"}, n.toOrderer()...)
	args = append(args, "-C", Channel, "-n", name, "-v", definition, "--sequence", sequence)
	for _, member := range n.spec.Orgs {
		args = append(args, "--peerAddresses", n.at(member.Peer), "--tlsRootCertFiles", n.path("orgs", member.Name, "tlsca.pem"))
	}
	return n.retry(ctx, o, nodes.Peer, n.asAdmin(n.spec.Orgs[0]), args...)
}

// ready waits until the network can be used.
func (n *Network) ready(ctx context.Context, o Options) error { return n.answers(ctx, o, Chaincode) }

// answers waits until every organisation's peer gives the chaincode's answer.
func (n *Network) answers(ctx context.Context, o Options, name string) error {
	for _, member := range n.spec.Orgs {
		if err := n.retry(ctx, o, nodes.Peer, n.asAdmin(member), "chaincode", "query", "-C", Channel, "-n", name,
			"-c", `{"Args":["`+chaincode.FunctionVersion+`"]}`); err != nil {
			return err
		}
	}
	return nil
}

// patience is how long a step may take, and is tried again: a raft has no leader at
// first, a peer learns from gossip who else is there, and a machine that compiles
// is slow.
const patience = 2 * time.Minute

// retry runs a tool until it succeeds, a node ended, or patience ends.
func (n *Network) retry(ctx context.Context, o Options, program string, env []string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for {
		err := n.tool(ctx, o, program, env, args...)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // not that of a run that was cut off
		}
		for _, p := range n.processes(o) {
			if err := p.ended(); err != nil {
				return err
			}
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("given up after %s: %w; the nodes' logs are under %s", patience, last, n.path("nodes"))
		}
	}
}

// tool runs one of the programs to its end. What it said is in the error.
func (n *Network) tool(ctx context.Context, o Options, program string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(o.Programs, program), args...)
	cmd.Dir, cmd.Env = n.dir, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args[:min(3, len(args))], " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Gateway is what a client needs to use the network as one of its organisations.
type Gateway struct {
	Peer      string // address of the organisation's peer
	TLSCA     string // file: authority of the peer's TLS certificate
	MSP       string // the organisation
	Cert, Key string // files: the client's identity
	Channel   string
	Chaincode string
	Profile   string // file: connection profile of the organisation, for other clients of Fabric
}

// Gateway says how Bellwether uses the network as organisation number i, from 0.
func (n *Network) Gateway(i int) Gateway {
	o := n.spec.Orgs[i]
	dir := n.path("orgs", o.Name)
	return Gateway{Peer: n.at(o.Peer), TLSCA: filepath.Join(dir, "tlsca.pem"), MSP: o.msp(), Channel: Channel, Chaincode: Chaincode,
		Cert: filepath.Join(dir, "gateway", "cert.pem"), Key: filepath.Join(dir, "gateway", "key.pem"),
		Profile: filepath.Join(dir, "connection.yaml")}
}

// writeProfiles writes a connection profile for each organisation, which names its
// peer and holds the authority of the peer's TLS certificate.
func (n *Network) writeProfiles(context.Context, Options) error {
	for i, o := range n.spec.Orgs {
		g := n.Gateway(i)
		ca, err := os.ReadFile(g.TLSCA)
		if err != nil {
			return err
		}
		text, err := connection.Profile{
			Name: "bellwether-" + o.Name, Version: "1.0.0", Client: connection.Client{Organization: o.Name},
			Organizations: map[string]connection.Organization{o.Name: {MSP: g.MSP, Peers: []string{peerName(o)}}},
			Peers:         map[string]connection.Peer{peerName(o): {URL: "grpcs://" + g.Peer, TLSCA: connection.TLSCA{PEM: string(ca)}}},
		}.YAML()
		if err != nil {
			return err
		}
		if err := durable.WriteFile(g.Profile, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Issue makes another client identity of organisation number i, valid until
// then, in dir: cert.pem and key.pem.
func (n *Network) Issue(i int, name, dir string, until time.Time) error {
	ca, err := n.authority(i)
	if err != nil {
		return fmt.Errorf("issue an identity: %w", err)
	}
	return (&keeper{ca: ca}).client(dir, name, until)
}

// Certify gives a certificate, in PEM, for a client of organisation number i whose
// private key is elsewhere, such as in a token.
func (n *Network) Certify(i int, name string, key crypto.PublicKey, until time.Time) ([]byte, error) {
	ca, err := n.authority(i)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	return ca.issue(name, roleClient, key, until)
}

// CertifyRequest gives a certificate, in PEM, for what a request (PKCS #10, PEM) of
// a client of organisation number i asks for: its name and its key.
func (n *Network) CertifyRequest(i int, request []byte, until time.Time) ([]byte, error) {
	if i < 0 || i >= len(n.spec.Orgs) {
		return nil, fmt.Errorf("there is no organisation %d: the network has %d", i+1, len(n.spec.Orgs))
	}
	block, _ := pem.Decode(request)
	if block == nil {
		return nil, errors.New("the request is not in PEM")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("the request: %w", err)
	}
	return n.Certify(i, r.Subject.CommonName, r.PublicKey, until)
}

func (n *Network) authority(i int) (*authority, error) {
	return readAuthority(n.path("orgs", n.spec.Orgs[i].Name), "ca")
}

// Config is the part of Bellwether's configuration that uses the network, in YAML.
func (g Gateway) Config() string {
	return fmt.Sprintf(`ledger:
  driver: fabric
  fabric:
    peer: %q
    tls_ca: %q
    msp: %q
    cert: %q
    key: %q
    channel: %q
    chaincode: %q
`, g.Peer, g.TLSCA, g.MSP, g.Cert, g.Key, g.Channel, g.Chaincode)
}
