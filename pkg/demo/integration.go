package demo

import (
	"context"
	"crypto/rand"
	"path/filepath"

	"github.com/consignwatch/consignwatch/deploy/mysql"
)

// outside is where the simulator serves Shopify, Clerk and Mandrill, and where it wrote the keys to them.
type outside struct {
	ClientsFile    string `json:"clients_file"`
	ClerkKeyFile   string `json:"clerk_secret_key_file"`
	MandrillKey    string `json:"mandrill_key_file"`
	ShopifyURL     string `json:"shopify_url_template"`
	ShopifyVersion string `json:"shopify_api_version"`
	ClerkURL       string `json:"clerk_url"`
	Issuer         string `json:"issuer"`
	Party          string `json:"authorized_party"`
	ProbeSession   string `json:"probe_session"`
	ForeignSession string `json:"foreign_session"`
	VerifyURL      string `json:"verify_url"`
	MandrillURL    string `json:"mandrill_url"`
}

// startIntegrationExporter watches the services that the simulator stands in for, and compares the shops with the platform's database.
func startIntegrationExporter(ctx context.Context, s *stack, folder string) (running, error) {
	platform, err := askPlatform(ctx, s)
	if err != nil {
		return nil, err
	}
	dsn, err := prepareComparing(ctx, s.dsnFile())
	if err != nil {
		return nil, err
	}
	if err := writeSecret(filepath.Join(folder, "dsn"), dsn); err != nil {
		return nil, err
	}
	return startExporter(ctx, integrationPart, folder, integrationConfig(platform.Outside))
}

// integrationConfig asks far more often than anybody would ask the real services, so that a fault is seen soon.
func integrationConfig(o outside) object {
	return object{
		"clients_file": o.ClientsFile,
		"shopify": object{
			"url_template": o.ShopifyURL, "api_version": o.ShopifyVersion, "requests_per_second": 20,
			"interval": "10s", "timeout": "2500ms", "max_age": "1m", "grace_period": "30s", "products_interval": "1m",
		},
		"platform": object{"dsn_file": "dsn"},
		"clerk": object{
			"url": o.ClerkURL, "secret_key_file": o.ClerkKeyFile, "probe_session": o.ProbeSession, "foreign_session": o.ForeignSession,
			"issuer": o.Issuer, "authorized_parties": []string{o.Party}, "verify_url": o.VerifyURL, "interval": "10s", "timeout": "4s", "token_interval": "10s",
		},
		"mandrill": object{"url": o.MandrillURL, "key_file": o.MandrillKey, "client_subaccounts": true, "interval": "10s", "timeout": "4s", "slow_interval": "20s"},
	}
}

// prepareComparing creates the user of deploy/mysql/grants-integration.sql, and returns its data source name.
func prepareComparing(ctx context.Context, dsnFile string) (string, error) {
	config, err := readDSN(dsnFile)
	if err != nil {
		return "", err
	}
	reader := mysql.Reader{Password: rand.Text(), Host: "127.0.0.1", Schema: databaseName}
	if err := execAll(ctx, config.FormatDSN(), mysql.IntegrationGrants(reader)...); err != nil {
		return "", err
	}
	config.User, config.Passwd = mysql.IntegrationUser, reader.Password
	return config.FormatDSN(), nil
}
