module github.com/consignwatch/consignwatch/tools/compose

go 1.26.8

require github.com/consignwatch/consignwatch v0.0.0

require (
	github.com/compose-spec/compose-go/v2 v2.16.2 // indirect
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6 // indirect
	github.com/emersion/go-smtp v0.25.1 // indirect
	github.com/moby/buildkit v0.34.2 // indirect
	github.com/moby/patternmatcher v0.6.1 // indirect
)

replace github.com/consignwatch/consignwatch => ../..
