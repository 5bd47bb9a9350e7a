-- Sends the request in the file named after the URL, byte for byte.
init = function(args)
  local file = assert(io.open(args[1], "rb"))
  local request = file:read("*a")
  file:close()
  wrk.format = function() return request end
end
