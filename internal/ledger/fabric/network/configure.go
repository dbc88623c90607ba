package network

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/goccy/go-yaml"

	"bellwether/internal/ledger/fabric/nodes"
)

// settings is a node's configuration: Fabric's own, with some values changed.
type settings map[string]any

func readSettings(path string) (settings, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := settings{}
	if err := yaml.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// set changes the value at a path of keys joined by dots.
func (s settings) set(path string, value any) {
	first, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		s[first] = value
		return
	}
	below, ok := s[first].(map[string]any)
	if !ok {
		below = map[string]any{}
		s[first] = below
	}
	settings(below).set(rest, value)
}

func (s settings) setAll(values map[string]any) {
	for path, value := range values {
		s.set(path, value)
	}
}

func (s settings) write(path string) error {
	raw, err := yaml.Marshal(map[string]any(s))
	if err != nil {
		return err
	}
	return write(path, raw, 0o600)
}

// configureOrderer writes an orderer's orderer.yaml.
func (n *Network) configureOrderer(programs string, node orderer) error {
	s, err := readSettings(filepath.Join(programs, nodes.OrdererConfig))
	if err != nil {
		return err
	}
	dir := n.path("nodes", node.Name)
	cert, key, ca := filepath.Join(dir, "tls", "server.crt"), filepath.Join(dir, "tls", "server.key"), filepath.Join(dir, "tls", "ca.crt")
	s.setAll(map[string]any{
		"General.ListenAddress": n.spec.Host, "General.ListenPort": node.Port, "General.BootstrapMethod": "none",
		"General.LocalMSPDir": filepath.Join(dir, "msp"), "General.LocalMSPID": ordererMSP,
		"General.TLS":         map[string]any{"Enabled": true, "Certificate": cert, "PrivateKey": key, "RootCAs": []string{ca}},
		"General.Cluster":     map[string]any{"SendBufferSize": 100, "ClientCertificate": cert, "ClientPrivateKey": key, "RootCAs": []string{ca}},
		"FileLedger.Location": filepath.Join(dir, "data"),
		"Consensus.WALDir":    filepath.Join(dir, "wal"), "Consensus.SnapDir": filepath.Join(dir, "snapshots"),
		"ChannelParticipation.Enabled": true,
		"Admin.ListenAddress":          n.at(node.Admin),
		"Admin.TLS": map[string]any{"Enabled": true, "Certificate": cert, "PrivateKey": key, "RootCAs": []string{ca},
			"ClientAuthRequired": true, "ClientRootCAs": []string{ca}},
		"Operations.ListenAddress": "127.0.0.1:0", "Metrics.Provider": "disabled",
		// On one machine an orderer that comes back is found at once, too.
		"General.Backoff": map[string]any{"BaseDelay": "200ms", "Multiplier": 1.6, "MaxDelay": "1s"},
	})
	return s.write(filepath.Join(dir, nodes.OrdererConfig))
}

// configurePeer writes a peer's core.yaml, and one for its organisation's
// administrator.
func (n *Network) configurePeer(programs string, o org) error {
	dir := n.path("nodes", peerName(o))
	for file, msp := range map[string]string{
		filepath.Join(dir, nodes.PeerConfig):              filepath.Join(dir, "msp"),
		n.path("orgs", o.Name, "admin", nodes.PeerConfig): n.path("orgs", o.Name, "admin", "msp"),
	} {
		s, err := readSettings(filepath.Join(programs, nodes.PeerConfig))
		if err != nil {
			return err
		}
		address := n.at(o.Peer)
		s.setAll(map[string]any{
			"peer.id": peerName(o), "peer.networkId": "bellwether",
			"peer.listenAddress": address, "peer.address": address, "peer.chaincodeListenAddress": "127.0.0.1:0",
			"peer.gossip.bootstrap": address, "peer.gossip.endpoint": address, "peer.gossip.externalEndpoint": address,
			"peer.gossip.useLeaderElection": false, "peer.gossip.orgLeader": true, "peer.gossip.state.enabled": false,
			// On one machine a node that comes back is found at once, and one that withholds blocks is soon suspected.
			"peer.deliveryclient.reConnectBackoffThreshold": "1s", "peer.deliveryclient.blockCensorshipTimeoutKey": "5s",
			"peer.gossip.aliveTimeInterval": "1s", "peer.gossip.aliveExpirationTimeout": "5s", "peer.gossip.reconnectInterval": "1s",
			"peer.gossip.publishStateInfoInterval": "1s", "peer.gossip.requestStateInfoInterval": "1s",
			"peer.tls": map[string]any{"enabled": true, "clientAuthRequired": false,
				"cert":     map[string]any{"file": filepath.Join(dir, "tls", "server.crt")},
				"key":      map[string]any{"file": filepath.Join(dir, "tls", "server.key")},
				"rootcert": map[string]any{"file": filepath.Join(dir, "tls", "ca.crt")}},
			"peer.fileSystemPath": filepath.Join(dir, "data"), "peer.mspConfigPath": msp, "peer.localMspId": o.msp(),
			"vm.endpoint": "", "chaincode.externalBuilders": []any{map[string]any{"name": "ccaas", "path": n.path("builder")}},
			"ledger.snapshots.rootDir": filepath.Join(dir, "snapshots"),
			"operations.listenAddress": "127.0.0.1:0", "metrics.provider": "disabled",
		})
		if err := s.write(file); err != nil {
			return err
		}
	}
	return nil
}

// writeBuilder writes the three programs by which a peer learns from a package
// where the chaincode runs.
func (n *Network) writeBuilder() error {
	for name, script := range map[string]string{
		"detect":  `grep -q '"type":"ccaas"' "$2/metadata.json"`,
		"build":   `cp "$1/connection.json" "$3/"`,
		"release": `mkdir -p "$2/chaincode/server" && cp "$1/connection.json" "$2/chaincode/server/"`,
	} {
		if err := write(n.path("builder", "bin", name), []byte("#!/bin/sh\nset -e\n"+script+"\n"), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// profile is the channel, as configtxgen reads it.
const profile = `Profiles:
  Bellwether:
    Policies:
{{template "meta"}}
    Capabilities: {V3_0: true}
    Orderer:
      OrdererType: {{if .BFT}}BFT{{else}}etcdraft{{end}}
      BatchTimeout: {{.BatchTimeout}}
      BatchSize: {MaxMessageCount: {{.BatchTxs}}, AbsoluteMaxBytes: 48 MB, PreferredMaxBytes: 8 MB}
{{- if .BFT}}
      ConsenterMapping:
{{- range $i, $o := .Consenters}}
        - {ID: {{$o.ID}}, Host: {{$.Host}}, Port: {{$o.Port}}, MSPID: {{$.OrdererMSP}}, Identity: {{printf "%q" $o.Identity}}, ClientTLSCert: {{printf "%q" $o.TLS}}, ServerTLSCert: {{printf "%q" $o.TLS}}}
{{- end}}
      SmartBFT:
        RequestBatchMaxInterval: {{.BatchTimeout}}
        RequestForwardTimeout: 1s
        RequestComplainTimeout: 2s
        RequestAutoRemoveTimeout: 3m
        ViewChangeResendInterval: 1s
        ViewChangeTimeout: 5s
        LeaderHeartbeatTimeout: 5s
        LeaderHeartbeatCount: 10
        CollectTimeout: 1s
        IncomingMessageBufferSize: 200
        RequestPoolSize: 10000
{{- else}}
      EtcdRaft:
        Consenters:
{{- range .Consenters}}
          - {Host: {{$.Host}}, Port: {{.Port}}, ClientTLSCert: {{printf "%q" .TLS}}, ServerTLSCert: {{printf "%q" .TLS}}}
{{- end}}
        Options: {TickInterval: 100ms, ElectionTick: 10, HeartbeatTick: 1, MaxInflightBlocks: 5, SnapshotIntervalSize: 16 MB}
{{- end}}
      Policies:
{{template "meta"}}
        BlockValidation: {Type: ImplicitMeta, Rule: "ANY Writers"}
      Capabilities: {V2_0: true}
      Organizations:
        - Name: Orderers
          ID: {{.OrdererMSP}}
          MSPDir: {{printf "%q" .OrdererDir}}
          Policies:
            Readers: {Type: Signature, Rule: "OR('{{.OrdererMSP}}.member')"}
            Writers: {Type: Signature, Rule: "OR('{{.OrdererMSP}}.member')"}
            Admins: {Type: Signature, Rule: "OR('{{.OrdererMSP}}.admin')"}
          OrdererEndpoints:
{{- range .Consenters}}
            - {{$.Host}}:{{.Port}}
{{- end}}
    Application:
      Policies:
{{template "meta"}}
        LifecycleEndorsement: {Type: ImplicitMeta, Rule: "MAJORITY Endorsement"}
        Endorsement: {Type: ImplicitMeta, Rule: "MAJORITY Endorsement"}
      Capabilities: {V2_5: true}
      Organizations:
{{- range .Orgs}}
        - Name: {{.Name}}
          ID: {{.MSP}}
          MSPDir: {{printf "%q" .Dir}}
          Policies:
            Readers: {Type: Signature, Rule: "OR('{{.MSP}}.admin', '{{.MSP}}.peer', '{{.MSP}}.client')"}
            Writers: {Type: Signature, Rule: "OR('{{.MSP}}.admin', '{{.MSP}}.client')"}
            Admins: {Type: Signature, Rule: "OR('{{.MSP}}.admin')"}
            Endorsement: {Type: Signature, Rule: "OR('{{.MSP}}.peer')"}
          AnchorPeers:
            - {Host: {{$.Host}}, Port: {{.Port}}}
{{- end}}
{{define "meta"}}        Readers: {Type: ImplicitMeta, Rule: "ANY Readers"}
        Writers: {Type: ImplicitMeta, Rule: "ANY Writers"}
        Admins: {Type: ImplicitMeta, Rule: "MAJORITY Admins"}
{{- end}}
`

// profileData is what the profile is filled with.
type profileData struct {
	BFT          bool
	Host         string
	BatchTimeout time.Duration
	BatchTxs     int
	OrdererMSP   string
	OrdererDir   string
	Consenters   []consenter
	Orgs         []member
}

type consenter struct {
	ID, Port      int
	Identity, TLS string // files
}

type member struct {
	Name, MSP, Dir string
	Port           int
}

// writeProfile writes configtx.yaml, from which the channel's first block is made.
func (n *Network) writeProfile() error {
	data := profileData{BFT: n.spec.Orderers == BFT4, Host: n.spec.Host, BatchTimeout: n.spec.BatchTimeout, BatchTxs: n.spec.BatchTxs,
		OrdererMSP: ordererMSP, OrdererDir: n.path("orgs", "orderers", "msp")}
	for i, node := range n.spec.Nodes {
		dir := n.path("nodes", node.Name)
		data.Consenters = append(data.Consenters, consenter{ID: i + 1, Port: node.Port,
			Identity: filepath.Join(dir, "msp", "signcerts", "cert.pem"), TLS: filepath.Join(dir, "tls", "server.crt")})
	}
	for _, o := range n.spec.Orgs {
		data.Orgs = append(data.Orgs, member{Name: o.Name, MSP: o.msp(), Dir: n.path("orgs", o.Name, "msp"), Port: o.Peer})
	}
	text, err := template.New("configtx").Parse(profile)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := text.Execute(&b, data); err != nil {
		return err
	}
	return write(n.path("configtx.yaml"), []byte(b.String()), 0o644)
}
