package network

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Level waits until no orderer is more than one block behind: then one that was
// away has caught up. SmartBFT leaves it at one until there is another block. The
// network must run, and nobody must write to it.
func (n *Network) Level(ctx context.Context) error {
	transport, err := n.adminTransport()
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	for {
		var heights []uint64
		for _, node := range n.spec.Nodes {
			h, heightErr := n.height(ctx, client, node)
			if err = heightErr; err != nil {
				break
			}
			heights = append(heights, h)
		}
		if err == nil && slices.Max(heights)-slices.Min(heights) <= 1 {
			return nil
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("the orderers do not come to the same height, are at %d: %w", heights, errors.Join(ctx.Err(), err))
		}
	}
}

// adminTransport speaks to the orderers' admin ports as their administrator.
func (n *Network) adminTransport() (*http.Transport, error) {
	dir := n.path("orgs", "orderers", "admin", "tls")
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS12}}, nil
}

// height is how many blocks an orderer has.
func (n *Network) height(ctx context.Context, client *http.Client, node orderer) (uint64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+n.at(node.Admin)+"/participation/v1/channels/"+Channel, nil)
	if err != nil {
		return 0, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", node.Name, err)
	}
	defer answer.Body.Close()
	var channel struct{ Height uint64 }
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", node.Name, answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(&channel); err != nil {
		return 0, fmt.Errorf("%s: %w", node.Name, err)
	}
	return channel.Height, nil
}
