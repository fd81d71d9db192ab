package mysql

import (
	"strings"
	"testing"
)

func TestEveryPlaceOfTheGrantsIsFilled(t *testing.T) {
	all := Grants(Reader{Password: `it's \ quoted`, Host: "10.1.2.%", Schema: "odd`name"})
	if len(all) < 10 || len(all) != strings.Count(grants, ";\n") {
		t.Errorf("%d statements of the %d that end in grants.sql", len(all), strings.Count(grants, ";\n"))
	}
	if want := `CREATE USER IF NOT EXISTS consignwatch_business@'10.1.2.%' IDENTIFIED BY 'it''s \\ quoted' WITH MAX_USER_CONNECTIONS 5`; all[0] != want {
		t.Errorf("%s\nwant %s", all[0], want)
	}
	for _, s := range all[1:] {
		if !strings.HasPrefix(s, "GRANT SELECT (") || !strings.Contains(s, "ON `odd``name`.") || !strings.HasSuffix(s, "TO consignwatch_business@'10.1.2.%'") {
			t.Errorf("not a right to read columns of the schema: %s", s)
		}
	}
}

func TestEveryPlaceOfTheIntegrationExportersGrantsIsFilled(t *testing.T) {
	all := IntegrationGrants(Reader{Password: `it's \ quoted`, Host: "10.1.2.%", Schema: "odd`name"})
	if len(all) != 5 || len(all) != strings.Count(integrationGrants, ";\n") {
		t.Errorf("%d statements of the %d that end in grants-integration.sql", len(all), strings.Count(integrationGrants, ";\n"))
	}
	if want := `CREATE USER IF NOT EXISTS consignwatch_integration@'10.1.2.%' IDENTIFIED BY 'it''s \\ quoted' WITH MAX_USER_CONNECTIONS 6`; all[0] != want {
		t.Errorf("%s\nwant %s", all[0], want)
	}
	for _, s := range all[1:] {
		if !strings.HasPrefix(s, "GRANT SELECT (") || !strings.Contains(s, "ON `odd``name`.") || !strings.HasSuffix(s, "TO consignwatch_integration@'10.1.2.%'") {
			t.Errorf("not a right to read columns of the schema: %s", s)
		}
	}
}

func TestNoIndexLocksItsTable(t *testing.T) {
	all := Indexes()
	if len(all) < 10 {
		t.Errorf("only %d statements in indexes.sql", len(all))
	}
	for _, s := range all {
		if !strings.HasPrefix(s, "CREATE INDEX /*M! IF NOT EXISTS */ ") || !strings.HasSuffix(s, "ALGORITHM=INPLACE LOCK=NONE") {
			t.Errorf("not an index that can be created again, while the platform writes: %s", s)
		}
	}
}
