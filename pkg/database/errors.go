package database

import (
	"errors"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// serverError is what an error number of a server means.
type serverError struct {
	reason exporter.Reason
	lacks  bool // the server lacks an object or statement, or the user lacks the privilege
}

// serverErrors are the error numbers of both families that do not mean a wrong query. Most up to 1880 are shared; above,
// each has its own. Where the other family uses such a number too, no statement of an exporter meets it.
var serverErrors = map[uint16]serverError{
	// The account is rejected, or lacks a privilege.
	1044: {exporter.ReasonAuth, true},  // no right to the schema
	1045: {exporter.ReasonAuth, false}, // wrong user or password
	1142: {exporter.ReasonAuth, true},  // no right to the table
	1143: {exporter.ReasonAuth, true},  // no right to the column
	1227: {exporter.ReasonAuth, true},  // no such privilege
	1251: {exporter.ReasonAuth, false}, // the client does not know the authentication
	1370: {exporter.ReasonAuth, false}, // no right to the routine
	1698: {exporter.ReasonAuth, false}, // wrong user, without a password
	1820: {exporter.ReasonAuth, false}, // the password has to be changed
	1862: {exporter.ReasonAuth, false}, // the password has expired
	1873: {exporter.ReasonAuth, false}, // no right to change the user
	3118: {exporter.ReasonAuth, false}, // MySQL: the account is locked
	3159: {exporter.ReasonAuth, false}, // MySQL: the server requires TLS
	3955: {exporter.ReasonAuth, false}, // MySQL: blocked after failed logins
	4150: {exporter.ReasonAuth, false}, // MariaDB: blocked after failed logins
	4151: {exporter.ReasonAuth, false}, // MariaDB: the account is locked

	// The time is over.
	1205: {exporter.ReasonTimeout, false}, // lock wait
	1317: {exporter.ReasonTimeout, false}, // interrupted
	1969: {exporter.ReasonTimeout, false}, // MariaDB: time limit
	3024: {exporter.ReasonTimeout, false}, // MySQL: time limit

	// The account has used up what it may.
	1203: {exporter.ReasonThrottled, false}, // connections
	1226: {exporter.ReasonThrottled, false}, // queries

	// The server is full, not in service, rejects the host, or the connection broke.
	1040: {exporter.ReasonConnection, false}, // too many connections
	1043: {exporter.ReasonConnection, false}, // handshake
	1053: {exporter.ReasonConnection, false}, // shutting down
	1129: {exporter.ReasonConnection, false}, // host blocked
	1130: {exporter.ReasonConnection, false}, // host not allowed
	1152: {exporter.ReasonConnection, false}, // aborted
	1158: {exporter.ReasonConnection, false}, // read
	1159: {exporter.ReasonConnection, false}, // read timeout
	1160: {exporter.ReasonConnection, false}, // write
	1161: {exporter.ReasonConnection, false}, // write timeout
	1184: {exporter.ReasonConnection, false}, // aborted, new
	1927: {exporter.ReasonConnection, false}, // MariaDB: killed
	3032: {exporter.ReasonConnection, false}, // MySQL: offline mode
	3169: {exporter.ReasonConnection, false}, // MySQL: killed
	4031: {exporter.ReasonConnection, false}, // MySQL: idle for too long

	// The server lacks what the query names.
	1049: {exporter.ReasonQuery, true}, // schema
	1051: {exporter.ReasonQuery, true}, // table
	1054: {exporter.ReasonQuery, true}, // column
	1064: {exporter.ReasonQuery, true}, // syntax
	1109: {exporter.ReasonQuery, true}, // table of the statement
	1146: {exporter.ReasonQuery, true}, // table
	1193: {exporter.ReasonQuery, true}, // variable
	1235: {exporter.ReasonQuery, true}, // not supported
	1286: {exporter.ReasonQuery, true}, // engine
	1295: {exporter.ReasonQuery, true}, // statement
}

func reasonOf(number uint16) exporter.Reason {
	if e, ok := serverErrors[number]; ok {
		return e.reason
	}
	return exporter.ReasonQuery
}

// Lacks reports whether an error says that the server lacks an object or statement, or that the user lacks the privilege.
func Lacks(err error) bool {
	var my *mysql.MySQLError
	return errors.As(err, &my) && serverErrors[my.Number].lacks
}
