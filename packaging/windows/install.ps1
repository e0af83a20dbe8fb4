# Installs serialshark for you alone, without administrator's rights: the program and its documentation
# in %LOCALAPPDATA%\Programs\serialshark, that folder in your PATH, and its ports in Wireshark's
# interface list. In the folder that this file is in:
#
#   powershell -ExecutionPolicy Bypass -File install.ps1
#   powershell -ExecutionPolicy Bypass -File install.ps1 -Uninstall
#
# What is not of the package stays, such as captures that were written there.
param([switch]$Uninstall)
$ErrorActionPreference = 'Stop'

$place = Join-Path $env:LOCALAPPDATA 'Programs\serialshark'
$program = Join-Path $place 'serialshark.exe'

# As it is kept, with its variables; what is in $env:Path has them replaced.
$key = [Microsoft.Win32.Registry]::CurrentUser.OpenSubKey('Environment', $true)
$path = $key.GetValue('Path', '', 'DoNotExpandEnvironmentNames')
$folders = @($path -split ';' | Where-Object { $_ -and $_ -ne $place })

if ($Uninstall) {
    if (Test-Path -LiteralPath $program) { & $program extcap --uninstall }
    $ours = 'serialshark.exe', 'install.ps1', '*.md', 'LICENSE-*.txt',
        'benches', 'docs', 'examples', 'hardware', 'tests', 'udev'
    $ours | ForEach-Object { Join-Path $place $_ } | Where-Object { Test-Path $_ } |
        Remove-Item -Recurse -Force
    if ((Test-Path -LiteralPath $place) -and -not (Get-ChildItem -LiteralPath $place -Force)) {
        Remove-Item -LiteralPath $place
    }
} else {
    New-Item -ItemType Directory -Force -Path $place | Out-Null
    Get-ChildItem -LiteralPath $PSScriptRoot | Copy-Item -Destination $place -Recurse -Force
    # Windows asks before it starts what came by a browser.
    Get-ChildItem -LiteralPath $place -Recurse -File | Unblock-File
    $folders += $place
    & $program extcap --install
    if ($LASTEXITCODE -ne 0) { Write-Warning 'serialshark is not in the interface list of Wireshark' }
}

$key.SetValue('Path', ($folders -join ';'), 'ExpandString')
$key.Close()
# Tells the programs that run of the new PATH: a variable that is set and removed does that.
[Environment]::SetEnvironmentVariable('serialshark-install', '1', 'User')
[Environment]::SetEnvironmentVariable('serialshark-install', $null, 'User')

if ($Uninstall) {
    Write-Host 'serialshark is removed. A service is removed by: serialshark service remove NAME'
} else {
    Write-Host "serialshark is in $place; in a new window type: serialshark ports"
}
