package simulator

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/services"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// serviceReader reads the shops over HTTP and the platform's tables by SQL, as a monitor with the services' files does.
type serviceReader struct {
	t     *testing.T
	p     *Platform
	db    *sql.DB
	at    services.Addresses
	shops map[string]shopAccess // by client
}

type shopAccess struct{ domain, token string }

// startWithExternal returns a reader of a platform's external services.
func startWithExternal(t *testing.T, config Config) *serviceReader {
	t.Helper()
	if config.DSN == "" {
		config.DSN = serverstest.MariaDB(t)
	}
	p := startWithStream(t, config)
	r := &serviceReader{t: t, p: p, db: serverstest.Open(t, config.DSN), at: p.State().ExternalServices.Addresses, shops: map[string]shopAccess{}}
	text, err := os.ReadFile(r.at.Clients)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Clients []struct {
			Slug    string
			Shopify struct {
				Domain    string
				TokenFile string `yaml:"token_file"`
			}
		}
	}
	if err := yaml.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Clients {
		r.shops[c.Slug] = shopAccess{c.Shopify.Domain, r.secret(filepath.Join(filepath.Dir(r.at.Clients), c.Shopify.TokenFile))}
	}
	return r
}

// startTrading returns a platform that often calls the external services, and whose registrations and sales last until the test ends: otherwise
// people register and buy in waves, and a busy machine may miss them.
func startTrading(t *testing.T) *serviceReader {
	t.Helper()
	config := lively()
	config.Acceleration = 10
	r := startWithExternal(t, config)
	if err := r.p.Do(t.Context(), "sell on", func(b *world.Books, c *store.Change) error {
		for _, e := range b.Events {
			if world.Selling(e.Status) || e.Status == world.Registration {
				if e.Status == world.Registration {
					e.StartAt = e.StartAt.AddDate(0, 0, 1)
				}
				e.EndAt, e.ReturnWindowEnd = e.EndAt.AddDate(0, 0, 1), e.ReturnWindowEnd.AddDate(0, 0, 1)
				c.Update(e)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *serviceReader) secret(path string) string {
	r.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// post posts JSON and returns the status and the body of the answer.
func (r *serviceReader) post(address string, header http.Header, body any) (int, []byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, address, bytes.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header = header.Clone()
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// query queries a client's shop.
func (r *serviceReader) query(client, text string, variables map[string]any) (int, []byte, error) {
	shop := r.shops[client]
	address := strings.NewReplacer("{domain}", shop.domain, "{version}", r.at.ShopifyAPIVersion).Replace(r.at.ShopifyURLTemplate)
	return r.post(address, http.Header{"X-Shopify-Access-Token": {shop.token}}, map[string]any{"query": text, "variables": variables})
}

// ids returns the ids of a shop's orders (without cancelled ones) or products.
func (r *serviceReader) ids(client, what string) map[uint64]bool {
	r.t.Helper()
	more := map[string]string{"orders": "cancelledAt", "products": "title"}[what]
	text := fmt.Sprintf(`query($after: String) { %s(first: 250, after: $after) { nodes { legacyResourceId %s } pageInfo { hasNextPage endCursor } } }`, what, more)
	all := map[uint64]bool{}
	for after := any(nil); ; {
		var body []byte
		waitFor(r.t, "points at the shop", func() bool {
			status, answer, err := r.query(client, text, map[string]any{"after": after})
			if err != nil || status != http.StatusOK {
				r.t.Fatalf("%s of %s: %d %s %v", what, client, status, answer, err)
			}
			body = answer
			return !bytes.Contains(answer, []byte(`"THROTTLED"`))
		})
		var page struct {
			Data map[string]struct {
				Nodes []struct {
					ID          json.Number `json:"legacyResourceId"`
					CancelledAt *time.Time
				}
				PageInfo struct {
					HasNextPage bool
					EndCursor   string
				}
			}
		}
		if err := json.Unmarshal(body, &page); err != nil || len(page.Data) != 1 {
			r.t.Fatalf("%s of %s: %s %v", what, client, body, err)
		}
		for _, n := range page.Data[what].Nodes {
			id, err := n.ID.Int64()
			if err != nil {
				r.t.Fatal(err)
			}
			if n.CancelledAt == nil {
				all[uint64(id)] = true
			}
		}
		if !page.Data[what].PageInfo.HasNextPage {
			return all
		}
		after = page.Data[what].PageInfo.EndCursor
	}
}

// tableIDs returns the ids of a client's orders or products in the tables.
func (r *serviceReader) tableIDs(client, what string) map[uint64]bool {
	r.t.Helper()
	statement := map[string]string{
		"orders":   "SELECT DISTINCT s.shopify_order_id FROM sales s JOIN events e ON e.id = s.event_id JOIN clients c ON c.id = e.client_id WHERE c.slug = ?",
		"products": "SELECT i.shopify_product_id FROM items i JOIN events e ON e.id = i.event_id JOIN clients c ON c.id = e.client_id WHERE c.slug = ? AND i.synced_at IS NOT NULL AND i.shopify_product_id IS NOT NULL",
	}[what]
	rows, err := r.db.QueryContext(r.t.Context(), statement, client)
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	all := map[uint64]bool{}
	for rows.Next() {
		var id uint64
		if err := rows.Scan(&id); err != nil {
			r.t.Fatal(err)
		}
		all[id] = true
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return all
}

// missing counts, by client, what shops have and the tables lack. The shops are read first.
func (r *serviceReader) missing(what string) map[string]int {
	r.t.Helper()
	missing := map[string]int{}
	for client := range r.shops {
		shop := r.ids(client, what)
		booked := r.tableIDs(client, what)
		for id := range shop {
			if !booked[id] {
				missing[client]++
			}
		}
	}
	return missing
}

// compareShops compares the shops with the tables and with State, while life is paused.
func (r *serviceReader) compareShops() {
	r.t.Helper()
	if diff := cmp.Diff(r.p.State().ExternalServices.OrdersMissing, r.missing("orders")); diff != "" {
		r.t.Errorf("missing orders (-books +reader):\n%s", diff)
	}
	for client := range r.shops {
		if diff := cmp.Diff(r.tableIDs(client, "products"), r.ids(client, "products")); diff != "" {
			r.t.Errorf("%s: products (-tables +shop):\n%s", client, diff)
		}
	}
}

func TestShopsHoldWhatTheBooksHold(t *testing.T) {
	t.Parallel()
	r := startTrading(t)
	r.compareShops()
	livePlatform(t, r.p)
	grows(t, "orders that come by webhook", count(r.p, "consign_order_imports_total", "outcome", world.Succeeded), 50)
	grows(t, "changes of orders", count(r.p, "consign_webhooks_received_total", "topic", "orders/updated", "outcome", "accepted"), 1)
	grows(t, "users", count(r.p, "consign_webhooks_processed_total", "provider", "clerk", "topic", "user.created"), 1)
	grows(t, "emails that arrive", count(r.p, "consign_emails_total", "outcome", "delivered"), 20)
	switchOn(t, r.p, faults.SoldTwice)
	pause(t, r.p)
	r.compareShops()
	if n := r.p.State().ExternalServices.OrdersMissing; len(n) > 0 {
		t.Errorf("orders are missing in health: %v", n)
	}
	if err := r.p.Faults().Off(t.Context(), faults.SoldTwice, ""); err != nil {
		t.Fatal(err)
	}
	r.compareShops()
	compareStream(t, r.p)
	compareJobs(t, r.p)
	for _, outcome := range []string{"duplicate", "invalid_signature", "invalid_payload"} {
		if n := streamTruthOf(r.p, "consign_webhooks_received_total", "outcome", outcome); n > 0 {
			t.Errorf("%d webhooks were emitted as %s", n, outcome)
		}
	}
}

func TestSecretsAreInFilesThatNobodyElseReadsAndNotInTheState(t *testing.T) {
	t.Parallel()
	r := startWithExternal(t, Config{Clients: 5, Events: 8, Items: 200})
	state, err := json.Marshal(r.p.State())
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{r.secret(r.at.ClerkKey), r.secret(r.at.MandrillKey)}
	for client, shop := range r.shops {
		secrets = append(secrets, shop.token)
		if status, body, err := r.query(client, "{ shop { name } }", nil); err != nil || status != http.StatusOK || !bytes.Contains(body, []byte(`"data"`)) {
			t.Errorf("%s: the token is worth nothing: %d %s %v", client, status, body, err)
		}
	}
	if len(secrets) != 6 { // four of five clients are active
		t.Errorf("%d secrets", len(secrets))
	}
	for _, s := range secrets {
		if len(s) < 12 || bytes.Contains(state, []byte(s)) {
			t.Errorf("a secret is in the state, or is none")
		}
	}
	err = filepath.WalkDir(filepath.Dir(r.at.Clients), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, body, err := r.post(r.at.MandrillURL+"/users/info.json", http.Header{}, map[string]string{"key": secrets[1]}); err != nil || status != http.StatusOK {
		t.Errorf("mandrill: %d %s %v", status, body, err)
	}
	session := r.at.ClerkURL + "/sessions/" + r.at.ProbeSession + "/tokens"
	if status, body, err := r.post(session, http.Header{"Authorization": {"Bearer " + secrets[0]}}, map[string]any{}); err != nil || status != http.StatusOK {
		t.Errorf("clerk: %d %s %v", status, body, err)
	}
}
