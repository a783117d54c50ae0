module gatehouse.example/claims-to-headers

go 1.24
