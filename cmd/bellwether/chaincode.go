package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"bellwether/internal/ledger/fabric/chaincode"
)

func chaincodeCommand() *cobra.Command {
	var s chaincode.Server
	var listen, cert, key string
	c := &cobra.Command{
		Use: "chaincode --id PACKAGE-ID --listen ADDRESS", Short: "Run the contract as a chaincode service of Hyperledger Fabric",
		Long: `Answers the peers of a Fabric channel: it endorses the zone's blocks by the same rules as
the embedded ledger. The package that tells a peer where it listens is made by
'bellwether fabric package'. 'bellwether fabric up' starts one by itself. It keeps nothing
on disk; SIGTERM or Ctrl-C stops it.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (cert == "") != (key == "") {
				return usageError{errors.New("chaincode: --cert and --key come together")}
			}
			if cert != "" {
				pair, err := tls.LoadX509KeyPair(cert, key)
				if err != nil {
					return fmt.Errorf("chaincode: certificate %s: %w", cert, err)
				}
				s.Certificate = &pair
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("chaincode: %w", err)
			}
			fmt.Fprintf(os.Stderr, "bellwether: chaincode %s (%s) listens on %s\n", s.ID, chaincode.Version, l.Addr())
			return s.Serve(cmd.Context(), l)
		},
	}
	c.Flags().StringVar(&s.ID, "id", "", "ID of the installed package, LABEL:HASH")
	c.MarkFlagRequired("id")
	c.Flags().StringVar(&listen, "listen", "", "HOST:PORT to listen on, as the package says")
	c.MarkFlagRequired("listen")
	c.Flags().StringVar(&cert, "cert", "", "TLS certificate, PEM; without one the connection is not protected")
	c.Flags().StringVar(&key, "key", "", "its private key, PEM")
	return c
}
