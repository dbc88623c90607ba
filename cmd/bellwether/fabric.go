package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/durable"
	"bellwether/internal/gateway"
	"bellwether/internal/ledger/fabric/chaincode"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/fabric/nodes"
)

func fabricCommand() *cobra.Command {
	return group("fabric", "A ledger on Hyperledger Fabric: a network of one machine, and what an existing one needs",
		fabricBuildCommand(), fabricUpCommand(), fabricDownCommand(), fabricStatusCommand(), fabricPackageCommand(), fabricRequestCommand(), fabricIssueCommand(), fabricCheckCommand())
}

func fabricUpCommand() *cobra.Command {
	var o network.Options
	c := &cobra.Command{
		Use: "up --dir DIR", Short: "Bring up a Fabric network on this machine",
		Long: `Makes a real Hyperledger Fabric network of plain processes on this machine, with the channel
and the chaincode that a zone needs, or starts again the one that is in DIR. Everything
is in DIR, private keys too. The nodes go on when this command ends; 'fabric down' stops
them.

The first run builds peer and orderer from Go modules (about 420 MB and some minutes,
once), which takes Go and a checkout of Bellwether; --programs names a directory where
they are built already.

--orderers says who puts transactions in order: 1, 3 (raft, one may fail) or 4-bft
(SmartBFT, one may lie). With --orgs N each of N organisations has a peer, and more than
half of them have to endorse.`,
		Example: "  bellwether fabric up --dir net\n  bellwether fabric up --dir net --orderers 4-bft --orgs 2",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fabricUp(cmd.Context(), cmd.OutOrStdout(), o)
		},
	}
	c.Flags().StringVar(&o.Dir, "dir", "", "directory of the network")
	c.MarkFlagRequired("dir")
	c.Flags().StringVar(&o.Orderers, "orderers", "", "orderers of a new network: 1, 3 or 4-bft (default 1)")
	c.Flags().IntVar(&o.Orgs, "orgs", 0, "organisations of a new network, each with a peer, at most 8 (default 1)")
	c.Flags().StringVar(&o.Programs, "programs", "", "directory with peer, orderer, configtxgen, osnadmin, core.yaml and orderer.yaml; default: built and cached")
	return c
}

func fabricUp(ctx context.Context, w io.Writer, o network.Options) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	o.Chaincode = []string{own, "chaincode"}
	if o.Programs == "" {
		if o.Programs, err = buildNodes(ctx); err != nil {
			return err
		}
	}
	began := time.Now()
	n, err := network.Up(ctx, o, func(step string) { fmt.Fprintf(os.Stderr, "  %s\n", step) })
	if err != nil {
		return fmt.Errorf("fabric up: %w", err)
	}
	fmt.Fprintf(os.Stderr, "bellwether: the network runs after %s\n", time.Since(began).Round(10*time.Millisecond))
	fmt.Fprintf(w, "# In bellwether.yaml, to use it as the zone's ledger:\n%s", n.Gateway(0).Config())
	return nil
}

func fabricBuildCommand() *cobra.Command {
	return &cobra.Command{
		Use: "build", Short: "Build the programs of a Fabric network into the cache",
		Long: `Builds peer and orderer from Go modules, unless that was done before, and prints their
directory, for 'fabric up --programs'. It takes Go and a checkout of Bellwether.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := buildNodes(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), dir)
			return err
		},
	}
}

// buildNodes gives the cached programs of the nodes, and builds them at first.
func buildNodes(ctx context.Context) (string, error) {
	b, said := newBar(), ""
	defer b.clear()
	return nodes.Built(ctx, func(stage string, done, total int64) {
		if said != stage {
			said = stage
			fmt.Fprintf(os.Stderr, "bellwether: Fabric's programs, built once: %s\n", stage)
		}
		if total > 0 {
			b.draw(stage, done, total)
		}
	})
}

func fabricDownCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "down --dir DIR", Short: "Stop a Fabric network of this machine",
		Long: `Stops every node of the network in DIR. What is on its ledger stays: 'fabric up' goes on with it.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := network.Open(dir)
			if err != nil {
				return err
			}
			return n.Down(cmd.Context())
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "directory of the network")
	c.MarkFlagRequired("dir")
	return c
}

func fabricStatusCommand() *cobra.Command {
	var dir string
	var asJSON bool
	c := &cobra.Command{
		Use: "status --dir DIR", Short: "Say which nodes of a Fabric network run",
		Long: `Lists the nodes of the network in DIR with process, memory, address and log. The exit code is 1 if one does not run.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := network.Open(dir)
			if err != nil {
				return err
			}
			all := n.Status()
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), all)
			} else {
				err = writeNodes(cmd.OutOrStdout(), all)
			}
			if err != nil {
				return err
			}
			for _, node := range all {
				if node.PID == 0 {
					return fmt.Errorf("%s does not run; `bellwether fabric up --dir %s` starts it, %s may say why it ended", node.Name, dir, node.Log)
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "directory of the network")
	c.MarkFlagRequired("dir")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func writeNodes(w io.Writer, all []network.Node) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tPROCESS\tMEMORY\tADDRESS\tLOG")
	for _, node := range all {
		process, memory := "down", "-"
		if node.PID != 0 {
			process, memory = fmt.Sprint(node.PID), fmt.Sprintf("%d MiB", node.RSS>>20)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", node.Name, process, memory, node.Address, node.Log)
	}
	return t.Flush()
}

func fabricPackageCommand() *cobra.Command {
	var p chaincode.Package
	var ca, out string
	c := &cobra.Command{
		Use: "package --address HOST:PORT -o FILE", Short: "Write the chaincode package that an organisation installs on its peers",
		Long: `Writes a package that tells a peer where this organisation's 'bellwether chaincode' listens.
The same flags give the same bytes. It prints the package's ID, which the peer will give it
too, and which 'bellwether chaincode --id' needs.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ca != "" {
				root, err := os.ReadFile(ca)
				if err != nil {
					return fmt.Errorf("fabric package: %w", err)
				}
				if p.RootCert = string(root); p.RootCert == "" {
					return fmt.Errorf("fabric package: %s is empty", ca)
				}
			}
			raw, err := p.Bytes()
			if err != nil {
				return err
			}
			id, err := p.ID()
			if err != nil {
				return err
			}
			if err := durable.WriteFile(out, raw, 0o644); err != nil {
				return fmt.Errorf("fabric package: %w", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), id)
			return err
		},
	}
	c.Flags().StringVar(&p.Address, "address", "", "HOST:PORT of the chaincode service, as the peer sees it")
	c.MarkFlagRequired("address")
	c.Flags().StringVarP(&out, "out", "o", "", "file to write")
	c.MarkFlagRequired("out")
	c.Flags().StringVar(&p.Label, "label", "bellwether_1", "label of the package")
	c.Flags().StringVar(&ca, "tls-ca", "", "certificate of the authority that signed the service's TLS certificate, PEM; default: no TLS")
	return c
}

func fabricCheckCommand() *cobra.Command {
	var config string
	var patience time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use: "check --config FILE", Short: "Try the connection to Fabric that a configuration names",
		Long: `Connects as the gateway would, and says whether the peer, the identity, the channel and the
chaincode's version are right, and when the certificate expires. It writes nothing.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := gateway.ReadConfig(config)
			if err != nil {
				return err
			}
			r, err := gateway.CheckFabric(cmd.Context(), c, patience)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(w).Encode(r)
			}
			key := "a file"
			if r.Token {
				key = "in a PKCS #11 token, which signed"
			}
			_, err = fmt.Fprintf(w, "peer        %s, as %s of %s\nchannel     %s, %d blocks, first block %s\nchaincode   %s, %s\ncertificate until %s, %d days\nkey         %s\n",
				r.Peer, r.Subject, r.MSP, r.Channel, r.Height, r.First.Short(), r.Chaincode, r.Version,
				r.Expires.Format(time.RFC3339), int(time.Until(r.Expires).Hours()/24), key)
			return err
		},
	}
	c.Flags().StringVar(&config, "config", "", "configuration file with ledger.driver: fabric")
	c.MarkFlagRequired("config")
	c.Flags().DurationVar(&patience, "timeout", 10*time.Second, "how long to try")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
