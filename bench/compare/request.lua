-- Sends the request in the file named after the URL, byte for byte; as a POST with a body if a length is named that isn't 0.
init = function(args)
  local file = assert(io.open(args[1], "rb"))
  local request = file:read("*a")
  file:close()
  local length = tonumber(args[2])
  if length > 0 then
    request = request:gsub("^GET", "POST"):gsub("\r\n\r\n$", "\r\nContent-Length: " .. length .. "\r\n\r\n" .. string.rep("x", length))
  end
  wrk.format = function() return request end
end
