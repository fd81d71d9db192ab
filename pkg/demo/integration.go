package demo

import (
	"context"
	"crypto/rand"
	"path/filepath"

	"github.com/consignwatch/consignwatch/deploy/mysql"
)

// externalServices are the addresses of the simulated Shopify, Clerk and Mandrill, and the files with their keys.
type externalServices struct {
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

// startIntegrationExporter starts the integration-exporter with the simulated external services and the platform's database.
func startIntegrationExporter(ctx context.Context, s *stack, folder string) (running, error) {
	platform, err := fetchPlatformState(ctx, s)
	if err != nil {
		return nil, err
	}
	dsn, err := createIntegrationUser(ctx, s.dsnFile())
	if err != nil {
		return nil, err
	}
	if err := writeSecret(filepath.Join(folder, "dsn"), dsn); err != nil {
		return nil, err
	}
	return startExporter(ctx, integrationPart, folder, integrationConfig(platform.ExternalServices))
}

// integrationConfig has much shorter intervals than those for real services, so that a fault is visible soon.
func integrationConfig(services externalServices) object {
	return object{
		"clients_file": services.ClientsFile,
		"shopify": object{
			"url_template": services.ShopifyURL, "api_version": services.ShopifyVersion, "requests_per_second": 20,
			"interval": "10s", "timeout": "2500ms", "max_age": "1m", "grace_period": "30s", "products_interval": "1m",
		},
		"platform": object{"dsn_file": "dsn"},
		"clerk": object{
			"url": services.ClerkURL, "secret_key_file": services.ClerkKeyFile, "probe_session": services.ProbeSession, "foreign_session": services.ForeignSession,
			"issuer": services.Issuer, "authorized_parties": []string{services.Party}, "verify_url": services.VerifyURL, "verify_exempt": true, "interval": "10s", "timeout": "4s", "token_interval": "10s",
		},
		"mandrill": object{"url": services.MandrillURL, "key_file": services.MandrillKey, "client_subaccounts": true, "interval": "10s", "timeout": "4s", "slow_interval": "20s"},
	}
}

// createIntegrationUser creates the user of deploy/mysql/grants-integration.sql, and returns its data source name.
func createIntegrationUser(ctx context.Context, dsnFile string) (string, error) {
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
