package eventtest

import "strings"

// Envelope are the attributes of an event of a type that the shipped mapping has.
const Envelope = `"specversion":"1.0","id":"1","source":"/s","type":"consign.auth.token"`

// MaxDepth is how deep a record may be nested.
const MaxDepth = 64

// Unusual are records that are hard to decode, with their outcome, and the reason of those that are not counted.
var Unusual = []struct{ Name, Value, Outcome, Reason string }{
	{"plain", `{` + Envelope + `,"data":{"result":"valid"}}`, "counted", ""},
	{"data first", `{"data":{"result":"valid"},` + Envelope + `}`, "counted", ""},
	{"white space everywhere", " \n{ \"data\" : { \"result\" :\t\"valid\" } ,\r\n" + Envelope + " } \n", "counted", ""},
	{"escaped key", `{` + Envelope + `,"d\u0061ta":{"res\u0075lt":"valid"}}`, "counted", ""},
	{"escaped type", `{"specversion":"1.0","id":"1","source":"/s","type":"consign.auth\u002etoken","data":{"result":"valid"}}`, "counted", ""},
	{"unknown fields of every kind", `{"x":{"y":[1,{"z":null}],"":""},` + Envelope + `,"subject":"s","data":{"more":[[],{},[{}]],"result":"valid","n":-1.5E+3,"t":true}}`, "counted", ""},
	{"null extension is absent", `{"clientid":null,` + Envelope + `,"data":{"result":"valid"}}`, "counted", ""},
	{"null data_base64 is absent, before the data", `{"data_base64":null,` + Envelope + `,"data":{"result":"valid"}}`, "counted", ""},
	{"null data_base64 is absent, without data", `{` + Envelope + `,"data_base64":null}`, "counted", ""},
	{"no data: the label is missing, the event counts", `{` + Envelope + `}`, "counted", ""},
	{"data that is no object", `{` + Envelope + `,"data":[1,2]}`, "counted", ""},
	{"depth at the limit", `{` + Envelope + `,"x":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `}`, "counted", ""},

	{"empty", ``, "malformed", "empty"},
	{"only white space", "  \n", "malformed", "empty"},
	{"no object", `"text"`, "malformed", "syntax"},
	{"array of events", `[{` + Envelope + `}]`, "malformed", "syntax"},
	{"two events", `{` + Envelope + `}{` + Envelope + `}`, "malformed", "syntax"},
	{"cut off in a string", `{"specversion":"1.0","id":"1","sour`, "malformed", "truncated"},
	{"cut off in an escape", `{"specversion":"1.0","id":"\u00`, "malformed", "truncated"},
	{"cut off in a number", `{` + Envelope + `,"data":{"n":1.`, "malformed", "truncated"},
	{"cut off in a word", `{` + Envelope + `,"data":{"n":tru`, "malformed", "truncated"},
	{"cut off before the end", `{` + Envelope + `,"data":{"result":"valid"}`, "malformed", "truncated"},
	{"comma at the end", `{` + Envelope + `,}`, "malformed", "syntax"},
	{"comma at the end of an unknown array", `{` + Envelope + `,"x":[1,]}`, "malformed", "syntax"},
	{"brackets crossed", `{` + Envelope + `,"x":[{]}}`, "malformed", "syntax"},
	{"leading zero", `{` + Envelope + `,"x":01}`, "malformed", "syntax"},
	{"NaN", `{` + Envelope + `,"x":NaN}`, "malformed", "syntax"},
	{"plus sign", `{` + Envelope + `,"x":+1}`, "malformed", "syntax"},
	{"control character in a string", "{" + Envelope + ",\"x\":\"a\nb\"}", "malformed", "syntax"},
	{"unknown escape", `{` + Envelope + `,"x":"\x41"}`, "malformed", "syntax"},
	{"byte order mark", "\ufeff{" + Envelope + "}", "malformed", "syntax"},
	{"nested too deeply", `{` + Envelope + `,"x":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`, "malformed", "too_deep"},
	{"nested to break the stack", `{` + Envelope + `,"x":` + strings.Repeat(`{"a":[`, 100_000), "malformed", "too_deep"},
	{"nested where the mapping looks", `{` + Envelope + `,"data":` + strings.Repeat(`{"a":`, 1000), "malformed", "too_deep"},
	{"type twice", `{` + Envelope + `,"type":"consign.app.started"}`, "malformed", "repeated_key"},
	{"type twice, once escaped", `{` + Envelope + `,"typ\u0065":"consign.app.started"}`, "malformed", "repeated_key"},
	{"data twice", `{"data":{},` + Envelope + `,"data":{"result":"valid"}}`, "malformed", "repeated_key"},
	{"label twice", `{` + Envelope + `,"data":{"result":"valid","result":"expired"}}`, "malformed", "repeated_key"},
	{"unread key twice is nobody's business", `{` + Envelope + `,"x":1,"x":2,"data":{"result":"valid"}}`, "counted", ""},
	{"data_base64", `{` + Envelope + `,"data_base64":"eyJyZXN1bHQiOiJ2YWxpZCJ9"}`, "malformed", "data_base64"},
	{"specversion 0.3", `{"specversion":"0.3","id":"1","source":"/s","type":"consign.auth.token"}`, "malformed", "specversion"},
	{"specversion as a number", `{"specversion":1.0,"id":"1","source":"/s","type":"consign.auth.token"}`, "malformed", "attribute"},
	{"no id", `{"specversion":"1.0","source":"/s","type":"consign.auth.token"}`, "malformed", "attribute"},
	{"empty source", `{"specversion":"1.0","id":"1","source":"","type":"consign.auth.token"}`, "malformed", "attribute"},
	{"null type", `{"specversion":"1.0","id":"1","source":"/s","type":null}`, "malformed", "attribute"},
	{"unknown type", `{"specversion":"1.0","id":"1","source":"/s","type":"consign.auth"}`, "unknown_type", "unknown_type"},
	{"unknown type that begins like a known one", `{"specversion":"1.0","id":"1","source":"/s","type":"consign.auth.tokens"}`, "unknown_type", "unknown_type"},
	{"not UTF-8 in a value", "{" + Envelope + ",\"x\":\"\xff\"}", "not_utf8", "not_utf8"},
	{"not UTF-8 in a key", "{" + Envelope + ",\"\xc3\x28\":1}", "not_utf8", "not_utf8"},
	{"not UTF-8 outside of strings", "{" + Envelope + ",\xff}", "not_utf8", "not_utf8"},
	{"not UTF-8 and truncated", "{\"x\":\"\xe2\x82", "not_utf8", "not_utf8"},
	{"a surrogate as UTF-8", "{" + Envelope + ",\"x\":\"\xed\xa0\x80\"}", "not_utf8", "not_utf8"},
}
