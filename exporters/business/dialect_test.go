package business

import (
	"regexp"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/secret"
)

// mysqlMode is the default sql_mode of MySQL 8 and 9. Neither ONLY_FULL_GROUP_BY is the stricter one: MySQL refuses
// SELECT DISTINCT a ... ORDER BY b (3065), which MariaDB takes.
const mysqlMode = "'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"

// reservedByMySQL are the words that MySQL 8 and 9 reserve and MariaDB 10.11 does not.
var reservedByMySQL = regexp.MustCompile(`(?i)\b(CUBE|CUME_DIST|DENSE_RANK|EMPTY|EXTERNAL|FIRST_VALUE|FUNCTION|GENERATED|GET|GROUPING|GROUPS|JSON_TABLE|LAG|LAST_VALUE|LATERAL|` +
	`LEAD|LIBRARY|MANUAL|NTH_VALUE|NTILE|OF|OPTIMIZER_COSTS|PARALLEL|PERCENT_RANK|QUALIFY|RANK|ROW_NUMBER|STORED|SYSTEM|TABLESAMPLE|VIRTUAL|` +
	`DATABASE|IO_AFTER_GTIDS|IO_BEFORE_GTIDS|OPTION|ROW|SCHEMA|WINDOW)\b`)

// testMySQLMode runs the pack under the rules of MySQL, as far as they can be had here.
func (h *history) testMySQLMode(t *testing.T) {
	c, err := mysql.ParseDSN(h.dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.Params = map[string]string{"sql_mode": mysqlMode}
	db, err := openReader(secret.New(c.FormatDSN()), nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	pack := embedded(t)
	if _, err := round(t.Context(), db, pack); err != nil {
		t.Error(err)
	}
	texts := pack.Clients.SQL + pack.SaleEvents.SQL
	for _, q := range pack.Queries {
		texts += q.SQL
	}
	if word := reservedByMySQL.FindString(texts); word != "" {
		t.Errorf("the pack uses the word %s, which MySQL reserves", word)
	}
	if strings.ContainsAny(texts, "\"`") {
		t.Error("the pack quotes with a character whose meaning depends on the server's settings")
	}
}
