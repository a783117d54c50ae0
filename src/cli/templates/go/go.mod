module gatehouse.example/my-plugin

go 1.24

require gatehouse.example/sdk/go v0.0.0

require github.com/extism/go-pdk v1.1.3 // indirect

replace gatehouse.example/sdk/go => ./node_modules/@gatehouse/sdk/go
