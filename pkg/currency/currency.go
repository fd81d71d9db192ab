// Package currency knows the currencies of ISO 4217 and how many decimals their minor unit has. It is a table of its own because
// that of golang.org/x/text says how amounts are shown, not how they are counted (0 decimals for the Indonesian rupiah, which has
// 100 sen), and lacks what came after 2017. It never converts one currency into another.
package currency

import "strings"

// byExponent lists the codes by the number of decimals of the minor unit. Metals, and units of account that have no minor unit,
// are no money here.
var byExponent = [...]string{
	0: `BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF`,
	2: `AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP
	    COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR
	    JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK
	    NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT
	    TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG ZWL`,
	3: `BHD IQD JOD KWD LYD OMR TND`,
	4: `CLF UYW`,
}

// Exponent returns the number of decimals of the currency's minor unit: 2 for USD, whose cent is 0.01. ok is false when there is no
// such currency.
func Exponent(code string) (exponent int, ok bool) {
	if len(code) != 3 || strings.TrimSpace(code) != code {
		return 0, false
	}
	for exponent, codes := range byExponent {
		if i := strings.Index(codes, code); i >= 0 && (i == 0 || codes[i-1] == ' ' || codes[i-1] == '\t') {
			return exponent, true
		}
	}
	return 0, false
}
