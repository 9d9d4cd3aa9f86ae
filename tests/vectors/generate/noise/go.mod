module agent.test/vectors/noise

go 1.26

require (
	github.com/flynn/noise v1.1.0
	golang.org/x/crypto v0.0.0-20210322153248-0c34fe9e7dc2
)

require golang.org/x/sys v0.0.0-20201119102817-f84b799fce68 // indirect
